import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { InputError } from '../input-error.js';
import { formatOfName } from '../input-format.js';
import { keyOfPath } from '../key-paths.js';

/** A file that is to be imported. */
export interface FoundFile {
  /** Below the folder, with `/`. */
  readonly path: string;
  /** As it is opened. */
  readonly file: string;
  readonly key: string;
  /** The file of its problem, beside it. Undefined: there is none. */
  readonly problemFile: string | undefined;
  /** Another file that has the same key: neither is imported. */
  readonly rival: string | undefined;
}

/** What tells whether a file is as it was. */
export interface FileState {
  readonly size: number;
  readonly modifiedMs: number;
}

/**
 * The tables below a folder, in order of their paths: what is named as CSV, NDJSON, JSON, Arrow or Parquet, but for files of
 * problems and for what is hidden. InputError where the folder has none.
 */
export async function findFiles(folder: string, prefix: string): Promise<FoundFile[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .filter(isTable)
    .sort();
  if (paths.length === 0)
    throw new InputError(
      `${folder} has no file to import: .csv, .ndjson, .jsonl, .json, .arrow, .arrows, .feather, .parquet or .pq.`,
    );
  const keys = new Map<string, string[]>();
  for (const path of paths) {
    const key = prefix + keyOfPath(path);
    keys.set(key, [...(keys.get(key) ?? []), path]);
  }
  return await Promise.all(
    paths.map(async (path): Promise<FoundFile> => {
      const file = join(folder, path);
      const key = prefix + keyOfPath(path);
      const rival = keys.get(key)?.find((other) => other !== path);
      return { path, file, key, rival, problemFile: await ifThere(`${file.replace(/\.[^./]+$/, '')}.problem.json`) };
    }),
  );
}

function isTable(path: string): boolean {
  if (path.split('/').some((name) => name.startsWith('.'))) return false;
  if (path.endsWith('.problem.json')) return false;
  return path.endsWith('.json') || formatOfName(path) !== undefined;
}

async function ifThere(path: string): Promise<string | undefined> {
  return await access(path).then(
    () => path,
    () => undefined,
  );
}

/** The state of a file; taken before and after it is read, it tells that it was not changed meanwhile. */
export async function stateOf(file: string): Promise<FileState> {
  const { size, mtimeMs } = await stat(file);
  return { size, modifiedMs: mtimeMs };
}

/** SHA-256 of a file, in hexadecimal. */
export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}
