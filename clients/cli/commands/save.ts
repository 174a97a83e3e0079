import { readFile } from 'node:fs/promises';
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ProblemSchema, type Problem } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { ReplicationState, type ResultWriter, type SaveOptions } from '../../typescript/index.js';
import { connect } from '../connect.js';
import { InputError } from '../input-error.js';
import type { InputFormat } from '../input-format.js';
import { progressBar } from '../progress.js';
import { KnownRows, type RowSource } from '../row-source.js';
import { openSource } from '../stream-source.js';

/** Flags of `optistore save`. */
export interface SaveFlags {
  readonly server?: string;
  readonly json?: boolean;
  readonly problem?: string;
  readonly format?: InputFormat;
  readonly tag?: Record<string, string>;
  readonly uploadId?: string;
  readonly description?: string;
  readonly expectedRevision?: bigint;
  readonly append?: boolean;
  readonly replicate?: boolean | 'sync';
  readonly to?: 'primary' | 'cache';
}

/** What a commit's answer says of the copy in the secondary. */
const REPLICATED: Record<ReplicationState, string> = {
  [ReplicationState.UNSPECIFIED]: '',
  [ReplicationState.NONE]: '',
  [ReplicationState.PENDING]: ', will be copied to the secondary',
  [ReplicationState.DONE]: ', copied to the secondary',
  [ReplicationState.FAILED]: ', could not be copied to the secondary: see optistore status',
};

/** Saves the rows of a file, or those of standard input as they are printed, under a key. */
export async function save(key: string, file: string, flags: SaveFlags): Promise<void> {
  // Opened before the upload is: a file that is not there leaves nothing behind.
  await using source = await openSource(file, flags.format);
  await using client = connect(flags);
  const base = flags.append === true ? await client.getResult(key) : undefined;
  const given = flags.problem === undefined ? undefined : await readProblem(flags.problem);
  // Where one is given, the upload is open before the solver prints its first row.
  const problem = base?.problem ?? given ?? (await source.problem());
  if (problem === undefined) throw new InputError('No problem is given. Name its file with --problem problem.json.');
  const bar = progressBar('saved rows');
  const options: SaveOptions = {
    onAck: (durable) => bar.update(durable),
    onReconnect: (error) => process.stderr.write(`${error.message} Reconnecting.\n`),
    ...(flags.tag && { tags: flags.tag }),
    ...(flags.uploadId !== undefined && { uploadId: flags.uploadId }),
    ...(flags.description !== undefined && { description: flags.description }),
    ...(flags.expectedRevision !== undefined && { expectedRevision: flags.expectedRevision }),
    ...(flags.replicate !== undefined && { replicate: flags.replicate }),
    ...(flags.to !== undefined && { to: flags.to }),
  };
  const writer = await (base === undefined ? client.save(key, problem, options) : client.append(key, options));
  try {
    const known = new KnownRows(writer.nextRow - Number(base?.rowCount ?? 0));
    if (writer.committed === undefined) await appendParts(writer, problem, source, known);
    const result = await writer.commit();
    bar.stop();
    process.stdout.write(
      `${key}: ${result.rowCount} rows, revision ${result.revision}${REPLICATED[result.replication]}\n`,
    );
  } catch (error) {
    bar.stop();
    // Why it could not be saved matters more.
    await writer.close().catch(() => undefined);
    process.stderr.write(
      `${writer.durableRowCount} rows are safe. To go on: the same command with --upload-id ${writer.uploadId}\n`,
    );
    throw error;
  }
}

async function readProblem(path: string): Promise<Problem> {
  try {
    return fromJson(ProblemSchema, JSON.parse(await readFile(path, 'utf8')) as JsonValue);
  } catch (error) {
    throw new InputError(
      `${path} is not a problem in protobuf JSON: ${error instanceof Error ? error.message : String(error)}. examples/ has some.`,
    );
  }
}

/** Appends rows as they come; skips those that an earlier try has saved. The writer sends small parts together. */
async function appendParts(writer: ResultWriter, problem: Problem, source: RowSource, known: KnownRows): Promise<void> {
  for await (const part of source.parts(problem, known)) await writer.append(part);
  if (known.left > 0)
    throw new InputError(
      `The input has ${known.left} rows fewer than upload ${writer.uploadId} already has: it is not the same run.`,
    );
}
