import { constants } from 'node:fs';
import { copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import { StorageError } from '../../errors.js';
import { ifThere, syncFolder } from '../files.js';
import { folderAside, reportDamage, writeNote, writeReport } from '../quarantine.js';
import { writeSeal, readSeal, type Seal } from '../seal.js';
import { currentKey } from './index-entries.js';
import { dataFiles, type FileDamage } from './level-files/check-files.js';
import { encodeLog, type LogContent } from './level-files/log-file.js';
import { encodeBatch, parseBatch } from './level-files/write-batch.js';

/** What became of an index that was damaged. */
export interface Mended {
  /** Keys that were written in what could not be read whole: what the index has of them may be older. */
  readonly suspects: ReadonlySet<string>;
  /** Entries of other keys may be gone, or older than they were. */
  readonly mayLack: boolean;
}

/** LevelDB's numbers of changes are smaller. */
const SEQUENCE_MAX = 2n ** 55n;
/** What the names of newest revisions in the index begin with. */
const NEWEST = Buffer.from(currentKey(''));

/**
 * Puts the damaged files of a closed index aside and makes of them what can be read: batches of logs as far as they can be, then
 * LevelDB's own repair where it has lost track of its files.
 */
export async function mendIndex(path: string, damage: FileDamage): Promise<Mended> {
  const index = join(path, 'index');
  const aside = await folderAside(quarantineOf(path));
  const names = damage.needsRepair ? Object.keys(await dataFiles(index)) : damage.files;
  for (const name of names) await ifThere(copyFile(join(index, name), join(aside, name), constants.COPYFILE_FICLONE));
  const suspects = new Set<string>();
  let mayLack = damage.mayLack;
  for (const [name, content] of damage.logs) {
    const mended = mendLog(content);
    for (const key of mended.suspects) suspects.add(key);
    mayLack ||= mended.hasRest;
    await writeFile(join(index, `${name}.mended`), mended.bytes, { flush: true });
    await rename(join(index, `${name}.mended`), join(index, name));
  }
  await syncFolder(index);
  if (damage.needsRepair) await repair(index, aside);
  await note(path, aside, damage, mayLack);
  return { suspects, mayLack };
}

/** LevelDB's own repair; `level`'s types know only what browsers have as well. */
async function repairLevel(folder: string): Promise<void> {
  await (Level as unknown as { repair(folder: string): Promise<void> }).repair(folder);
}

async function repair(index: string, aside: string): Promise<void> {
  await mkdir(index, { recursive: true, mode: 0o700 });
  // Of a MANIFEST that is not the newest nothing is wanted.
  await rm(join(index, 'CURRENT'), { force: true, recursive: true });
  await repairLevel(index);
  await ifThere(rename(join(index, 'lost'), join(aside, 'lost')));
}

/** A log of all batches that can be read, in one order; what is wrong within their entries, those say themselves. */
function mendLog({ records }: LogContent): { bytes: Buffer; suspects: Set<string>; hasRest: boolean } {
  const suspects = new Set<string>();
  const mended: Buffer[] = [];
  let hasRest = false;
  let next: bigint | undefined;
  for (const { data, isWhole } of records) {
    const { sequence, entries, rest } = parseBatch(data);
    if (!isWhole && rest.byteLength > 0) {
      hasRest = true;
      for (const key of keysIn(data)) suspects.add(key);
    }
    // What follows says again what the key has.
    for (const { key } of entries)
      if (key.indexOf(NEWEST) === 0) suspects.delete(key.subarray(NEWEST.byteLength).toString());
    const first = isWhole ? sequence : (next ?? sequence);
    next = first + BigInt(entries.length);
    // The number of a batch that does not check, and has none before it, may be any.
    if (entries.length > 0 && (isWhole || first < SEQUENCE_MAX)) mended.push(encodeBatch(first, entries));
    else hasRest ||= !isWhole;
  }
  return { bytes: encodeLog(mended), suspects, hasRest };
}

/** Keys of results that bytes of the index speak of, more than once: a name may be damaged itself. */
function keysIn(bytes: Buffer): string[] {
  const found: string[] = [];
  for (let at = bytes.indexOf(NEWEST); at > 0; at = bytes.indexOf(NEWEST, at + 1)) {
    const [low = 0, high = 0] = [bytes[at - 1], bytes[at - 2]];
    // The length of the name, with what is before it, stands in one byte or two.
    const length = low < 2 && high >= 128 ? high - 128 + 128 * low : low;
    const key = bytes.subarray(at + NEWEST.byteLength, at + length);
    const isTwice = key.byteLength > 0 && bytes.indexOf(key, at + length) >= 0;
    if (isTwice && !key.some((byte) => byte < 32)) found.push(key.toString());
  }
  return found;
}

async function note(path: string, aside: string, { files }: FileDamage, mayLack: boolean): Promise<void> {
  const what = `The index of the store at ${path} was damaged (${files.join(', ')}), and was mended at ${new Date().toISOString()}.`;
  if (mayLack) await writeReport(aside, `${what} The damaged files are in ${aside}.`);
  else await writeNote(aside, `${what} What could not be mended is told of each result.`);
}

/** Names and lengths of the files of a store's index. */
export const indexFiles = (path: string): Promise<Record<string, number>> => dataFiles(join(path, 'index'));

/** Where a store puts damaged files aside. */
export const quarantineOf = (path: string): string => join(path, 'quarantine');

/** Notes that the rows of open uploads are gone which were not in segments yet. */
export const reportLostJournal = (path: string): Promise<void> =>
  reportDamage(quarantineOf(path), `The journal of the store at ${path} is lost: uploads may lack acknowledged rows.`);

/** The seal of a store. */
export const sealOf = (path: string): Promise<Seal | undefined> => readSeal(join(path, 'seal'));

/** Says that a store is in use; `hasFailed`: that LevelDB met damage in a file of its own, so that the next start looks at all of them. */
export const unsealStore = (path: string, hasFailed: boolean): Promise<void> =>
  sealStore(path, { state: 'open', files: {}, facts: hasFailed ? { has_failed: 1 } : {} });

/** Puts a store's seal in the place of the one before. */
export const sealStore = (path: string, seal: Seal): Promise<void> => writeSeal(join(path, 'seal'), seal);

/** The error for a store whose index is gone or empty, though there was one. */
export function indexLost(path: string): StorageError {
  return new StorageError(
    'RESULT_CORRUPT',
    `The index of the store at ${path} is empty, and it was not. Nothing was changed: restore ${join(path, 'index')} from a backup; or move ${path} aside, and \`optistore verify --repair\` brings back what the other store has.`,
  );
}
