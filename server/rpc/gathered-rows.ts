import type { Batch, Schema } from '../rows/batch.js';
import { batchBytes } from '../rows/batch.js';
import { gatherBatches } from '../rows/gather.js';

/** Rows on their way: batches, and what else comes with a load. */
type Loaded<Other> = { readonly batch: Batch; readonly rowNumbers?: Uint8Array } | Other;

/**
 * Puts small batches together: of one column in many, a block has a few kilobytes, and a message for each costs more than
 * its bytes. Larger ones, and those of a set, stay as they are.
 */
export async function* gatheredRows<Other extends object>(
  loaded: AsyncIterable<Loaded<Other>>,
  schema: Schema,
  bytesMax: number,
): AsyncGenerator<Loaded<Other>> {
  let small: Batch[] = [];
  let smallBytes = 0;
  const take = () => {
    const batch = gatherBatches(schema, small);
    small = [];
    smallBytes = 0;
    return { batch };
  };
  for await (const one of loaded) {
    const bytes = 'batch' in one && one.rowNumbers === undefined ? batchBytes(one.batch) : Infinity;
    const isSmall = bytes <= bytesMax / 4;
    if (small.length > 0 && (!isSmall || smallBytes + bytes > bytesMax)) yield take();
    if (isSmall) {
      small.push((one as { batch: Batch }).batch);
      smallBytes += bytes;
    } else yield one;
  }
  if (small.length > 0) yield take();
}
