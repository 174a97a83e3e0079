import { batchBytes, type Batch, type Schema } from '../../rows/batch.js';
import { gatherBatches } from '../../rows/gather.js';

/** Pieces that are gathered at once: each costs objects of many times a row's bytes. */
const PIECES_MAX = 1024;

/** Joins small batches that follow each other up to about so many bytes; larger ones stay as they are. */
export async function* gathered(
  schema: Schema,
  batches: AsyncIterable<Batch>,
  bytesMax: number,
): AsyncGenerator<Batch> {
  let pieces: Batch[] = [];
  let bytes = 0;
  for await (const batch of batches) {
    const more = batchBytes(batch);
    if (pieces.length > 0 && (bytes + more > bytesMax || pieces.length === PIECES_MAX)) {
      yield gatherBatches(schema, pieces);
      pieces = [];
      bytes = 0;
    }
    pieces.push(batch);
    bytes += more;
  }
  if (pieces.length > 0) yield gatherBatches(schema, pieces);
}
