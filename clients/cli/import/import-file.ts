import { createHash } from 'node:crypto';
import type { Problem } from '../../../proto/gen/optistore/v1/problem_pb.js';
import {
  OptistoreError,
  type OptistoreClient,
  type Result,
  type ResultWriter,
  type SaveOptions,
} from '../../typescript/index.js';
import { InputError } from '../input-error.js';
import { KnownRows, type RowSource } from '../row-source.js';
import { appendRows, problemOf, readProblem } from '../save-rows.js';
import { openSource } from '../stream-source.js';
import { sha256Of, stateOf, type FoundFile } from './found-files.js';

/** Tags that tell where a result came from. */
const TAGS = { source: 'import.source', content: 'import.sha256', problem: 'import.problem_sha256' } as const;
const SOURCE_BYTES_MAX = 1000;

/** How files are imported. */
export interface ImportOptions {
  /** The problem of all files that have none beside them. */
  readonly problemFile?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly replicate?: NonNullable<SaveOptions['replicate']>;
  /** Also replaces results that were not imported. */
  readonly isReplacing: boolean;
  readonly isDryRun: boolean;
}

/** What became of a file. `unchanged`: its content is there already. */
export interface Imported {
  readonly state: 'imported' | 'updated' | 'unchanged';
  /** Absent in a dry run, of what would be saved. */
  readonly result?: Result;
}

/** What a file is. */
interface Content {
  readonly sha256: string;
  readonly problemSha256: string;
}

/**
 * Saves a file under its key, if that does not hold it already: as its tags tell. What makes this safe to be killed and run again is
 * the upload's id, made of key, content and the revision that is replaced: an upload that was broken off is resumed, one that
 * was committed is known, and what someone else saved meanwhile is not replaced. InputError, OptistoreError.
 */
export async function importFile(client: OptistoreClient, found: FoundFile, options: ImportOptions): Promise<Imported> {
  if (found.rival !== undefined)
    throw new InputError(`${found.rival} would have the same key, ${found.key}. Rename one, or import them apart.`);
  const problemFile = found.problemFile ?? options.problemFile;
  const before = await stateOf(found.file);
  const content: Content = {
    sha256: await sha256Of(found.file),
    problemSha256: problemFile === undefined ? '' : await sha256Of(problemFile),
  };
  const present = await ifThere(client, found.key);
  if (present !== undefined && holds(present, content)) return { state: 'unchanged', result: present };
  if (present !== undefined && !options.isReplacing && present.tags[TAGS.source] === undefined)
    throw new InputError(
      `${found.key} has a result that was not imported, of revision ${present.revision}. Say --replace to replace it, or give another --prefix.`,
    );
  const state = present === undefined ? 'imported' : 'updated';
  await using source = await openSource(found.file, undefined);
  const problem = await problemOf(source, problemFile === undefined ? undefined : await readProblem(problemFile));
  if (options.isDryRun) {
    await readFirst(source, problem);
    return { state };
  }
  const { writer, knownCount } = await openUpload(client, found, content, problem, present?.revision ?? 0n, options);
  try {
    await appendRows(writer, problem, source, knownCount);
    const after = await stateOf(found.file);
    if (after.size !== before.size || after.modifiedMs !== before.modifiedMs)
      throw new InputError('The file was changed while it was read. Import it again when it is finished.');
    return { state, result: await writer.commit() };
  } catch (error) {
    await writer.close().catch(() => undefined);
    // What is wrong with the file will be so again: its rows are of no use. A corrected file is another upload.
    if (error instanceof InputError) await client.abortUpload(writer.uploadId).catch(() => undefined);
    throw error;
  }
}

/** Reads a piece of the input, with its head, as far as that tells what is wrong with it. InputError. */
async function readFirst(source: RowSource, problem: Problem): Promise<void> {
  await source.parts(problem, new KnownRows(0))[Symbol.asyncIterator]().next();
}

async function ifThere(client: OptistoreClient, key: string): Promise<Result | undefined> {
  try {
    return await client.getResult(key);
  } catch (error) {
    if (error instanceof OptistoreError && error.reason === 'RESULT_NOT_FOUND') return undefined;
    throw error;
  }
}

function holds({ tags }: Result, { sha256, problemSha256 }: Content): boolean {
  return tags[TAGS.content] === sha256 && (tags[TAGS.problem] ?? '') === problemSha256;
}

/** Opens the upload, or the one that was broken off. */
async function openUpload(
  client: OptistoreClient,
  found: FoundFile,
  content: Content,
  problem: Problem,
  replaced: bigint,
  options: ImportOptions,
): Promise<{ writer: ResultWriter; knownCount: number }> {
  const tags = {
    ...options.tags,
    [TAGS.source]: shortened(found.path),
    [TAGS.content]: content.sha256,
    ...(content.problemSha256 !== '' && { [TAGS.problem]: content.problemSha256 }),
  };
  // Ids of uploads that have ended are not used again; the id after one of them is as certain as it was.
  for (let generation = String(replaced); ;) {
    try {
      const writer = await client.save(found.key, problem, {
        ...{ tags, uploadId: uploadIdOf(found.key, content, generation), expectedRevision: replaced },
        ...(options.replicate !== undefined && { replicate: options.replicate }),
      });
      if (writer.committed === undefined) return { writer, knownCount: writer.nextRow };
      // It was imported before, and deleted since.
      await writer.close();
      generation = String(writer.committed.revision);
    } catch (error) {
      const reason = error instanceof OptistoreError ? error.reason : undefined;
      if (reason !== 'UPLOAD_ABORTED' && reason !== 'UPLOAD_EXPIRED') throw error;
      generation += ' again';
    }
  }
}

function uploadIdOf(key: string, { sha256, problemSha256 }: Content, generation: string): string {
  const hash = createHash('sha256').update(JSON.stringify([key, sha256, problemSha256, generation]));
  return `import-${hash.digest('hex').slice(0, 40)}`;
}

/** A tag's value has its limit; the end of a path tells more than its beginning. */
function shortened(path: string): string {
  const bytes = Buffer.from(path);
  return bytes.byteLength <= SOURCE_BYTES_MAX ? path : `…${bytes.subarray(-SOURCE_BYTES_MAX).toString('utf8')}`;
}
