import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StorageError } from '../../errors.js';
import { DurableLevel } from './durable-level.js';
import { INLINE_PREFIX } from './index-entries.js';
import { IndexStore } from './index-store.js';
import { checkFiles, dataFiles } from './level-files/check-files.js';
import { indexLost, mendIndex, sealOf, unsealStore, type Mended } from './mend-index.js';
import type { Seal } from '../seal.js';

/** An index that is open, and what was known of the store when it was closed. */
export interface OpenedIndex {
  readonly index: IndexStore;
  readonly seal: Seal | undefined;
  /** Files of it were damaged, and mended. */
  readonly wasMended: boolean;
}

/**
 * Opens the index of a store, or makes it where there is no store. What of its files does not check is put aside and mended; see
 * `mendIndex`. BACKEND_LOCKED; RESULT_CORRUPT where nothing is left of it.
 */
export async function openIndex(path: string): Promise<OpenedIndex> {
  const folder = join(path, 'index');
  const seal = await sealOf(path);
  const isEmpty = Object.keys(await dataFiles(folder)).length === 0;
  if (isEmpty && (await hadResults(path, seal))) throw indexLost(path);
  const mended = isEmpty ? undefined : await checkAndMend(path, folder, seal);
  const index = await IndexStore.open(folder, () => unsealStore(path, true));
  try {
    if (mended !== undefined) await index.audit(mended.suspects);
    // It was emptied of all that it had, or is one that an earlier start had only begun to make.
    if (await index.isNew()) {
      if (await hadResults(path, seal)) throw indexLost(path);
      await index.begin();
    }
    return { index, seal, wasMended: mended !== undefined };
  } catch (error) {
    await index[Symbol.asyncDispose]();
    throw error;
  }
}

async function hadResults(path: string, seal: Seal | undefined): Promise<boolean> {
  return seal !== undefined || (await readdir(join(path, 'segments'))).length > 0;
}

async function checkAndMend(path: string, folder: string, seal: Seal | undefined): Promise<Mended | undefined> {
  await DurableLevel.checkLock(folder);
  // Rows check themselves when they are read, and may be much.
  const areRows = (from: string, to: string) => from.startsWith(INLINE_PREFIX) && to.startsWith(INLINE_PREFIX);
  const isAll = seal?.facts['has_failed'] === 1;
  const damage = await checkFiles(folder, seal, (from, to) => !isAll && areRows(from, to));
  return damage && mendIndex(path, damage).catch((error: unknown) => cantMend(path, error));
}

function cantMend(path: string, error: unknown): never {
  if (error instanceof StorageError) throw error;
  throw new StorageError(
    'RESULT_CORRUPT',
    `The index of the store at ${path} is damaged and can't be mended: ${String(error)}. Restore ${path} from a backup; or move it aside, and \`optistore verify --repair\` brings back what the other store has.`,
    { cause: error },
  );
}
