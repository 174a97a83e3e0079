import type { FileBlocks } from '../backends/backend.js';
import type { Batch, Schema } from '../rows/batch.js';
import { batchBytes } from '../rows/batch.js';
import { gatherBatches } from '../rows/gather.js';

/** Rows, with their numbers where they are those of a set. */
export interface LoadedRows {
  readonly batch: Batch;
  readonly rowNumbers?: Uint8Array;
}

/**
 * Puts small batches together: of one column in many, a block has a few kilobytes, and a message for each costs more than
 * its bytes. Larger ones, and those of a set, stay as they are.
 */
export async function* gatheredRows(
  loaded: AsyncIterable<LoadedRows | FileBlocks>,
  schema: Schema,
  bytesMax: number,
): AsyncGenerator<LoadedRows | FileBlocks> {
  let small: Batch[] = [];
  let smallBytes = 0;
  const take = () => {
    const batch = gatherBatches(schema, small);
    small = [];
    smallBytes = 0;
    return { batch };
  };
  for await (const one of loaded) {
    const batch = 'file' in one || one.rowNumbers !== undefined ? undefined : one.batch;
    const bytes = batch === undefined ? Infinity : batchBytes(batch);
    if (small.length > 0 && smallBytes + bytes > bytesMax) yield take();
    if (batch !== undefined && bytes <= bytesMax / 4) {
      small.push(batch);
      smallBytes += bytes;
      continue;
    }
    // Rows come in order, whatever their size.
    if (small.length > 0) yield take();
    yield one;
  }
  if (small.length > 0) yield take();
}
