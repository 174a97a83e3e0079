import { create } from '@bufbuild/protobuf';
import { ManifestSchema, type Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend } from '../../backends/backend.js';
import { haveSameRows } from '../../backends/revisions.js';
import { isCorrupt, throwIfCancelled } from '../../errors.js';
import { batchBytes } from '../../rows/batch.js';
import { RunSummary } from '../../rows/summary.js';
import type { Pace } from './pace.js';

/** A copy that was read from beginning to end, or to its fault. */
export interface ReadCopy {
  /** What is wrong with it; undefined: nothing. */
  readonly fault: string | undefined;
  /** Bytes of rows that were read of it. */
  readonly byteLength: number;
}

/**
 * Reads a revision whole and checks every byte: each buffer against its own checksum, and all values of a column against
 * the result's. What does not check is the copy's fault; that it can't be reached, or was removed, is an error.
 */
export async function verifyCopy(
  store: Pick<StorageBackend, 'read'>,
  manifest: Manifest,
  pace: Pace,
  signal: AbortSignal,
): Promise<ReadCopy> {
  const variables = manifest.problem?.variables ?? [];
  const summary = new RunSummary(variables);
  const selection = { columns: variables.map((_, index) => index), firstRow: 0, rowCount: Number(manifest.rowCount) };
  let byteLength = 0;
  let nextRow = 0;
  try {
    if (selection.rowCount > 0)
      for await (const batch of store.read(manifest, selection, signal)) {
        throwIfCancelled(signal);
        if (batch.firstRow !== nextRow)
          return { fault: `row ${nextRow} does not follow upon the one before`, byteLength };
        nextRow += batch.rowCount;
        byteLength += batchBytes(batch);
        summary.add(batch);
        await pace.took(batchBytes(batch), signal);
      }
  } catch (error) {
    if (isCorrupt(error)) return { fault: error.message, byteLength };
    throw error;
  }
  if (nextRow !== selection.rowCount)
    return { fault: `${nextRow} of ${selection.rowCount} rows are there`, byteLength };
  const read = create(ManifestSchema, { ...manifest, columns: summary.summaries() });
  if (haveSameRows(manifest, read)) return { fault: undefined, byteLength };
  const fault = 'the values of a column are not those that were committed: its checksum differs';
  return { fault, byteLength };
}
