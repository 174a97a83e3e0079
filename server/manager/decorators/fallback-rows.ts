import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { haveSameRows } from '../../backends/revisions.js';
import { StorageError, toStorageError, type Reason } from '../../errors.js';
import type { Batch } from '../../rows/batch.js';
import type { Selection } from '../../rows/select.js';
import type { RoleStore } from '../role-store.js';

/** A copy failed in a way that another one may not. */
export const COPY_FAILED: ReadonlySet<Reason> = new Set<Reason>([
  'BACKEND_UNAVAILABLE',
  'RESULT_CORRUPT',
  'REVISION_NOT_FOUND',
  'INTERNAL',
]);

/** What a read of two copies tells. */
export interface RowsEvents {
  /** A copy is asked. */
  asked(store: RoleStore): void;
  /** A copy gave rows after the one before it had failed; `isContinued`: that one had given rows. */
  tookOver(store: RoleStore, isContinued: boolean): void;
  /** A copy failed. */
  failed(store: RoleStore, failure: StorageError): void;
}

/**
 * Rows of a revision from the first of two stores, whose manifest it is, and where that breaks, from the second one on from the row
 * where it stopped: if that has the same revision with the same checksums, so that no two are spliced.
 */
export async function* readFromBoth(
  stores: readonly [own: RoleStore, other: RoleStore],
  manifest: Manifest,
  selection: Selection,
  events: RowsEvents,
  signal: AbortSignal,
): AsyncGenerator<Batch> {
  const end = selection.firstRow + selection.rowCount;
  let nextRow = selection.firstRow;
  let failure: StorageError | undefined;
  for (const store of stores) {
    const copy = failure === undefined ? manifest : await sameRevision(store, manifest, signal);
    if (copy === undefined) break;
    events.asked(store);
    try {
      for await (const batch of store.read(
        copy,
        { ...selection, firstRow: nextRow, rowCount: end - nextRow },
        signal,
      )) {
        if (failure !== undefined) events.tookOver(store, nextRow > selection.firstRow);
        failure = undefined;
        nextRow = batch.firstRow + batch.rowCount;
        yield batch;
      }
      return;
    } catch (error) {
      const broken = toStorageError(error);
      if (signal.aborted || !COPY_FAILED.has(broken.reason)) throw broken;
      events.failed(store, broken);
      // Where the other copy fails as well, the first failure says more.
      failure ??= broken;
    }
  }
  throw failure ?? new StorageError('INTERNAL', 'a read of two copies ended without rows and without a failure');
}

async function sameRevision(store: RoleStore, manifest: Manifest, signal: AbortSignal): Promise<Manifest | undefined> {
  try {
    const copy = await store.stat(manifest.key, Number(manifest.revision), signal);
    const isSame =
      copy.kind === RevisionKind.COMMITTED && copy.uploadId === manifest.uploadId && haveSameRows(copy, manifest);
    return isSame ? copy : undefined;
  } catch {
    return undefined;
  }
}
