import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend } from '../backends/backend.js';
import type { Batch } from '../rows/batch.js';

/** All columns of a revision, from a row to its end; nothing where there is none. */
export async function* readWhole(
  store: StorageBackend,
  manifest: Manifest,
  firstRow: number,
  signal: AbortSignal,
): AsyncGenerator<Batch> {
  const columns = (manifest.problem?.variables ?? []).map((_, index) => index);
  const rowCount = Number(manifest.rowCount) - firstRow;
  if (rowCount > 0) yield* store.read(manifest, { columns, firstRow, rowCount }, signal);
}

/** The rows of a revision as StorageBackend.copyIn pulls them; `read`: in another way. */
export function rowsOf(store: StorageBackend, manifest: Manifest, read = readWhole) {
  return (firstRow: number, signal: AbortSignal): AsyncIterable<Batch> => read(store, manifest, firstRow, signal);
}

/** What a marker has. */
export async function* noRows(): AsyncGenerator<never> {}
