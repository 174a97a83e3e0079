import { lstat, open, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { knex, type Knex } from 'knex';
import { Level } from 'level';
import { folderName } from '../../server/backends/filesystem/names.js';

/** Flips a bit of a byte of a file, where it lies. Negative: counted from the end. */
export async function flipBit(path: string, at: number, bit = 0): Promise<void> {
  await using file = await open(path, 'r+');
  const place = at < 0 ? (await file.stat()).size + at : at;
  const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, place);
  if (bytesRead === 0) throw new Error(`${path} has no byte ${place}`);
  await file.write(Buffer.of((buffer[0] ?? 0) ^ (1 << bit)), 0, 1, place);
}

/** Flips a bit in what a LevelDB store, which is closed, keeps of a key besides its rows. */
export function damageLeveldbEntry(path: string, key: string): Promise<void> {
  return damageLeveldb(path, `current\0${key}`);
}

/** The same of an upload. */
export function damageLeveldbUpload(path: string, uploadId: string): Promise<void> {
  return damageLeveldb(path, `upload\0${uploadId}`);
}

/** Changes what the index of a leveldb store that is closed has of an upload that was committed. */
export function damageCommittedUpload(path: string, uploadId: string): Promise<void> {
  return damageLeveldb(path, `committed\0${uploadId}`);
}

async function damageLeveldb(path: string, place: string): Promise<void> {
  const level = new Level<string, Uint8Array>(join(path, 'index'), { valueEncoding: 'view' });
  const value = await level.get(place);
  if (value === undefined) throw new Error(`the store has no "${place}"`);
  value[20] = (value[20] ?? 0) ^ 1;
  await level.put(place, value);
  await level.close();
}

/** What a SQLite file's pages have in bytes: the store's do. */
export const PAGE_BYTES = 4096;

/** Places of the leaf pages of a table or an index in a SQLite file. */
export async function leafPages(path: string, name: string): Promise<number[]> {
  const database = knex({ client: 'sqlite3', connection: { filename: path }, useNullAsDefault: true });
  try {
    const sql = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'";
    const rows = await database.raw<{ pageno: number }[]>(sql, [name]);
    return rows.map(({ pageno }) => (pageno - 1) * PAGE_BYTES);
  } finally {
    await database.destroy();
  }
}

/** Makes bytes of a file zeros where they lie. */
export async function zeroBytes(path: string, at: number, byteLength: number): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(Buffer.alloc(byteLength), 0, byteLength, at);
}

/** Damages the manifest of a key in a database. */
export async function damageDatabaseEntry(config: Knex.Config, key: string): Promise<void> {
  const database = knex(config);
  try {
    const manifest = Buffer.from([255, 255]);
    if ((await database('results').where({ key }).update({ manifest })) !== 1) throw new Error(`there is no "${key}"`);
  } finally {
    await database.destroy();
  }
}

/** Flips a bit in the newest result.json of a key, under each of its names. */
export async function damageFilesystemEntry(basePath: string, key: string): Promise<void> {
  const folder = join(basePath, 'results', folderName(key));
  const slots = (await readdir(folder)).filter((name) => /^\d+$/.test(name)).sort();
  await flipBit(join(folder, slots.at(-1) ?? '', 'result.json'), 100);
}

/** All files below a folder, in order. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** A way to damage a file, as disks and people do. */
type Damage = (path: string, roll: () => number, all: readonly string[]) => Promise<string>;

const below = (roll: () => number, count: number) => Math.floor(roll() * count);

/** Changes some bytes in a row where they lie. */
async function overwrite(path: string, roll: () => number, bytesOf: (length: number) => Buffer): Promise<string> {
  const { size } = await lstat(path);
  if (size === 0) return 'left as it was, being empty';
  const at = below(roll, size);
  const length = Math.min(size - at, 1 + below(roll, roll() < 0.3 ? 5000 : 40));
  await using file = await open(path, 'r+');
  await file.write(bytesOf(length), 0, length, at);
  return `${length} bytes at ${at} of ${size}`;
}

/** Each gives what it did, for people. */
export const DAMAGES: Readonly<Record<string, Damage>> = {
  async flip(path, roll) {
    const { size } = await lstat(path);
    if (size === 0) return 'left as it was, being empty';
    const at = below(roll, size);
    await flipBit(path, at, below(roll, 8));
    return `at ${at} of ${size}`;
  },
  zero: (path, roll) => overwrite(path, roll, (length) => Buffer.alloc(length)),
  rubbish: (path, roll) =>
    overwrite(path, roll, (length) => Buffer.from(Array.from({ length }, () => below(roll, 256)))),
  async cut(path, roll) {
    const { size } = await lstat(path);
    const length = below(roll, size);
    await truncate(path, length);
    return `to ${length} of ${size}`;
  },
  async append(path, roll) {
    const rubbish = Buffer.from(Array.from({ length: 1 + below(roll, 300) }, () => below(roll, 256)));
    await writeFile(path, rubbish, { flag: 'a' });
    return `${rubbish.byteLength} bytes`;
  },
  async empty(path) {
    await truncate(path, 0);
    return '';
  },
  async delete(path) {
    await rm(path);
    return '';
  },
  async swap(path, roll, all) {
    // Most alike are those of the same ending.
    const ending = path.slice(path.lastIndexOf('.'));
    const alike = all.filter((other) => other !== path && other.endsWith(ending));
    const other = alike[below(roll, alike.length)] ?? all.find((candidate) => candidate !== path);
    if (other === undefined) return 'with nothing';
    await rename(path, `${path}.swapped`);
    await rename(other, path);
    await rename(`${path}.swapped`, other);
    return `with ${other}`;
  },
};

/** Damages a random file of a folder; says what it did. `isSpared`: files that are not the store's own. */
export async function damageSomeFile(
  folder: string,
  roll: () => number,
  isSpared: (name: string) => boolean = () => false,
): Promise<DamagedFile> {
  const files = (await filesBelow(folder)).filter((path) => !isSpared(relative(folder, path)));
  // Kinds of files first: else those of which there are most are hit all the time.
  const kinds = [...new Set(files.map(kindOf))];
  const kind = kinds[below(roll, kinds.length)];
  const some = files.filter((path) => kindOf(path) === kind);
  const path = some[below(roll, some.length)] ?? '';
  const names = Object.keys(DAMAGES);
  const name = names[below(roll, names.length)] ?? '';
  const whole = await readFile(path);
  const did = (await DAMAGES[name]?.(path, roll, files)) ?? '';
  const now = await readFile(path).catch(() => Buffer.alloc(0));
  const isEndGone = now.byteLength < whole.byteLength || !now.includes(whole.subarray(-END_BYTES));
  const short = relative(folder, path);
  const how = `${name} ${short} ${did.replaceAll(`${folder}/`, '')}`;
  return { path: short, how, isEndGone, whole, lastChange: lastChange(whole, now) };
}

/** The last place up to which bytes are not what they were. */
function lastChange(whole: Buffer, now: Buffer): number {
  let at = whole.byteLength - 1;
  while (at >= 0 && whole[at] === now[at]) at--;
  return at;
}

/** What is damaged so near to a file's end may be the last write that it got. */
const END_BYTES = 2000;

/** A file that was damaged. */
export interface DamagedFile {
  readonly path: string;
  /** For people. */
  readonly how: string;
  /** The end of the file is not there as it was: in a store whose process was killed, it looks like a write that was not finished. */
  readonly isEndGone: boolean;
  /** What it had before. */
  readonly whole: Buffer;
  /** The last place of these bytes that is not as it was; -1: none. */
  readonly lastChange: number;
}

function kindOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1).replaceAll(/[0-9a-f]{8,}|\d+/g, '#');
}
