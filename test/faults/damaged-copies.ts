import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { folderName } from '../../server/backends/filesystem/names.js';
import { openLeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { damageSomeFile } from '../backends/damage.js';
import { newest } from '../backends/suite-copies.js';
import type { KillWorker } from './kill-worker.js';

/**
 * Damages one of the two copies that results have, but for what uploads go on from, and counts which. The stores are closed. Few
 * can be in LevelDB: that is tried while more were in the other store.
 */
export async function damageCopies(
  stores: { readonly leveldb: string; readonly filesystem: string },
  { keys, uploads }: KillWorker['ledger'],
  roll: () => number,
  damaged: { leveldb: number; filesystem: number },
): Promise<void> {
  for (const record of keys) {
    const isExtended = [...uploads].some(({ key, base }) => key === record && base.length > 0);
    if (record.content === undefined || isExtended || roll() < 0.2) continue;
    const areFewer = damaged.leveldb <= damaged.filesystem;
    if ((areFewer || roll() < 0.5) && (await damageSegment(stores.leveldb, record.key, roll))) damaged.leveldb++;
    else {
      await damageFolder(stores.filesystem, record.key, roll);
      damaged.filesystem++;
    }
    // It may be in the same files, and has no copy.
    record.earlier = undefined;
  }
}

/** False where the result is small, and has no segment: it lies in LevelDB's own files. */
async function damageSegment(path: string, key: string, roll: () => number): Promise<boolean> {
  const store = await openLeveldbBackend({ path });
  const { segments } = await newest(store, key);
  await store[Symbol.asyncDispose]();
  const folder = join(path, 'segments');
  const files = await readdir(folder);
  if (!segments.some(({ name }) => files.includes(name))) return false;
  await damageSomeFile(folder, roll, (file) => !segments.some(({ name }) => name === file));
  return true;
}

async function damageFolder(path: string, key: string, roll: () => number): Promise<void> {
  const folder = join(path, 'results', folderName(key));
  const changes = (await readdir(folder)).filter((name) => /^\d+$/.test(name)).sort();
  await damageSomeFile(join(folder, changes.at(-1) ?? ''), roll);
}
