import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend } from '../../backends/backend.js';
import { isSameRevision } from '../../backends/revisions.js';
import { StorageError } from '../../errors.js';
import { readWhole } from '../read-whole.js';

/** The newest revision or marker of a key; undefined where the store has none. */
export async function newestOf(store: StorageBackend, key: string, signal: AbortSignal): Promise<Manifest | undefined> {
  try {
    return await store.stat(key, undefined, signal);
  } catch (error) {
    if (error instanceof StorageError && error.reason === 'RESULT_NOT_FOUND') return undefined;
    throw error;
  }
}

/**
 * Puts a key of one store into another that has lost it, or whose rows of the same revision are bad. The rows are checked
 * against the checksums of their commit before anything becomes visible. What is absent on purpose (moved, deleted) or newer stays
 * as it is. Gives the copy; undefined where there was nothing to do. RESULT_CORRUPT, REVISION_MISMATCH.
 */
export async function repairCopy(
  from: StorageBackend,
  to: StorageBackend,
  key: string,
  isCorrupt: boolean,
  signal: AbortSignal,
): Promise<Manifest | undefined> {
  const good = await newestOf(from, key, signal);
  if (good === undefined || good.kind === RevisionKind.MOVED) return undefined;
  const bad = await newestOf(to, key, signal);
  const isLost = bad === undefined;
  if (!isLost && !(isCorrupt && isSameRevision(good, bad))) return undefined;
  const read = (firstRow: number, reading: AbortSignal) => readWhole(from, good, firstRow, reading);
  return to.copyIn(good, read, { replace: !isLost }, signal);
}
