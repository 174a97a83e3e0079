import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend } from '../../backends/backend.js';
import { haveSameRows, isSameRevision } from '../../backends/revisions.js';
import { StorageError } from '../../errors.js';
import { readWhole, rowsOf } from '../read-whole.js';

/** The newest revision or marker of a key; undefined where the store has none. */
export async function newestOf(store: StorageBackend, key: string, signal: AbortSignal): Promise<Manifest | undefined> {
  try {
    return await store.stat(key, undefined, signal);
  } catch (error) {
    if (error instanceof StorageError && error.reason === 'RESULT_NOT_FOUND') return undefined;
    throw error;
  }
}

/** How rows are read for a repair: `readWhole`, unless someone counts or slows it. */
export type ReadRows = typeof readWhole;

/** What a repair does beyond putting back what is lost or bad. */
export interface RepairOptions {
  /** Also puts a newer revision, or the marker of a deletion, in the place of an older one. Default: false. */
  readonly replacesOlder?: boolean;
  readonly readRows?: ReadRows;
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
  { replacesOlder = false, readRows = readWhole }: RepairOptions = {},
): Promise<Manifest | undefined> {
  const good = await newestOf(from, key, signal);
  if (good === undefined || good.kind === RevisionKind.MOVED) return undefined;
  const bad = await newestOf(to, key, signal);
  const isLost = bad === undefined;
  const isBad = !isLost && isCorrupt && isSameRevision(good, bad);
  const isOlder = !isLost && replacesOlder && bad.kind !== RevisionKind.MOVED && bad.revision < good.revision;
  // Bad rows may be the last ones there are: no marker takes their place.
  if (isCorrupt && good.kind !== RevisionKind.COMMITTED) return undefined;
  if (!isLost && !isBad && !isOlder) return undefined;
  // An older revision whose rows are good may share them.
  return to.copyIn(good, rowsOf(from, good, readRows), { replace: !isLost && isCorrupt }, signal);
}

/**
 * Puts what one store has of a key in the place of an entry of another one that does not check: a result, or also the marker of a
 * deletion where `takesMarker`. Gives the copy; undefined where the store has no such thing. RESULT_CORRUPT; REVISION_MISMATCH
 * where the entry can tell that it was newer.
 */
export async function replaceEntry(
  from: StorageBackend,
  to: StorageBackend,
  key: string,
  takesMarker: boolean,
  signal: AbortSignal,
  readRows: ReadRows = readWhole,
): Promise<Manifest | undefined> {
  const good = await newestOf(from, key, signal);
  const isMarker = good?.kind === RevisionKind.DELETED && takesMarker;
  if (good === undefined || (good.kind !== RevisionKind.COMMITTED && !isMarker)) return undefined;
  return to.copyIn(good, rowsOf(from, good, readRows), { replace: true }, signal);
}

/**
 * Gives a revision whose rows are bad those of another revision in the other store, where they are the same by their checksums: only its
 * metadata was changed since, or replication lags. Gives the revision; undefined where the other store has no such rows.
 * RESULT_CORRUPT, REVISION_MISMATCH.
 */
export async function repairRows(
  from: StorageBackend,
  to: StorageBackend,
  key: string,
  signal: AbortSignal,
  readRows: ReadRows = readWhole,
): Promise<Manifest | undefined> {
  const good = await newestOf(from, key, signal);
  const bad = await newestOf(to, key, signal);
  if (good?.kind !== RevisionKind.COMMITTED || bad?.kind !== RevisionKind.COMMITTED) return undefined;
  if (!haveSameRows(good, bad)) return undefined;
  return to.copyIn(bad, rowsOf(from, good, readRows), { replace: true }, signal);
}
