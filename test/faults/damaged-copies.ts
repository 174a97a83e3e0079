import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { folderName } from '../../server/backends/filesystem/names.js';
import { openLeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { damageSomeFile } from '../backends/damage.js';
import { newest } from '../backends/suite-copies.js';
import type { KillWorker } from './kill-worker.js';

/** Damages one of the two copies that results have, but for what uploads go on from. The stores are closed. */
export async function damageCopies(
  stores: { readonly leveldb: string; readonly filesystem: string },
  { keys, uploads }: KillWorker['ledger'],
  roll: () => number,
): Promise<void> {
  for (const record of keys) {
    const isExtended = [...uploads].some(({ key, base }) => key === record && base.length > 0);
    if (record.content === undefined || isExtended || roll() < 0.2) continue;
    if (roll() < 0.5) await damageSegment(stores.leveldb, record.key, roll);
    else await damageFolder(stores.filesystem, record.key, roll);
    // It may be in the same files, and has no copy.
    record.earlier = undefined;
  }
}

async function damageSegment(path: string, key: string, roll: () => number): Promise<void> {
  const store = await openLeveldbBackend({ path });
  const { segments } = await newest(store, key);
  await store[Symbol.asyncDispose]();
  const folder = join(path, 'segments');
  const files = await readdir(folder);
  // Small results have none: they lie in LevelDB's own files.
  if (!segments.some(({ name }) => files.includes(name))) return;
  await damageSomeFile(folder, roll, (file) => !segments.some(({ name }) => name === file));
}

async function damageFolder(path: string, key: string, roll: () => number): Promise<void> {
  const folder = join(path, 'results', folderName(key));
  const changes = (await readdir(folder)).filter((name) => /^\d+$/.test(name)).sort();
  await damageSomeFile(join(folder, changes.at(-1) ?? ''), roll);
}
