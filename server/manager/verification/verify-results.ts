import { create } from '@bufbuild/protobuf';
import { ManifestSchema, type Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend } from '../../backends/backend.js';
import { haveSameRows } from '../../backends/revisions.js';
import { StorageError, throwIfCancelled, toStorageError } from '../../errors.js';
import { batchBytes } from '../../rows/batch.js';
import { RunSummary } from '../../rows/summary.js';

/** A copy that was read from beginning to end. */
export interface VerifiedCopy {
  readonly manifest: Manifest;
  /** What is wrong with it; undefined: nothing. */
  readonly fault: string | undefined;
  /** Bytes of rows that were read of it. */
  readonly byteLength: number;
}

/**
 * Reads all results of a store whose keys begin so, in order of key, and checks every byte: each buffer against its own
 * checksum, and all values of a column against the result's. What was changed or deleted meanwhile is read as it is then,
 * or left out.
 */
export async function* verifyResults(
  store: StorageBackend,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<VerifiedCopy> {
  const query = { prefix, filter: undefined, orderBy: 'key' as const, descending: false };
  for await (const listed of store.list(query, signal)) {
    throwIfCancelled(signal);
    const verified = await verifyNewest(store, listed, signal);
    if (verified !== undefined) yield verified;
  }
}

async function verifyNewest(
  store: StorageBackend,
  listed: Manifest,
  signal: AbortSignal,
): Promise<VerifiedCopy | undefined> {
  try {
    return await verifyCopy(store, listed, signal);
  } catch (error) {
    const reason = toStorageError(error).reason;
    if (reason === 'REVISION_NOT_FOUND' || reason === 'RESULT_NOT_FOUND') {
      const newest = await store.stat(listed.key, undefined, signal);
      // Superseded or deleted since it was listed, and its rows removed: there is no such copy any more.
      return newest.revision === listed.revision ? faulty(listed, 'its rows are gone', 0) : undefined;
    }
    throw error;
  }
}

/** Reads a revision whole. What does not check is the copy's fault; that it can't be reached is an error. */
export async function verifyCopy(
  store: Pick<StorageBackend, 'read'>,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<VerifiedCopy> {
  const variables = manifest.problem?.variables ?? [];
  const summary = new RunSummary(variables);
  const selection = { columns: variables.map((_, index) => index), firstRow: 0, rowCount: Number(manifest.rowCount) };
  let byteLength = 0;
  let nextRow = 0;
  try {
    if (selection.rowCount > 0)
      for await (const batch of store.read(manifest, selection, signal)) {
        if (batch.firstRow !== nextRow)
          return faulty(manifest, `row ${nextRow} does not follow upon the one before`, byteLength);
        nextRow += batch.rowCount;
        byteLength += batchBytes(batch);
        summary.add(batch);
      }
  } catch (error) {
    if (error instanceof StorageError && error.reason === 'RESULT_CORRUPT')
      return faulty(manifest, error.message, byteLength);
    throw error;
  }
  if (nextRow !== selection.rowCount)
    return faulty(manifest, `${nextRow} of ${selection.rowCount} rows are there`, byteLength);
  const read = create(ManifestSchema, { ...manifest, columns: summary.summaries() });
  if (haveSameRows(manifest, read)) return { manifest, fault: undefined, byteLength };
  return faulty(manifest, 'the values of a column are not those that were committed: its checksum differs', byteLength);
}

function faulty(manifest: Manifest, fault: string, byteLength: number): VerifiedCopy {
  return { manifest, fault, byteLength };
}
