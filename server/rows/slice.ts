import type { Batch, Column, Schema } from './batch.js';
import { batchBytes, valueWidth } from './batch.js';
import { sliceBits } from './validity.js';

/** Rows `from` to `from + count` of a batch, counted within it. Values are views; offsets and bitmaps are made anew. */
export function sliceBatch(schema: Schema, batch: Batch, from: number, count: number): Batch {
  if (from === 0 && count === batch.rowCount) return batch;
  const columns = batch.columns.map((column, i): Column => {
    const type = schema[i];
    if (type === undefined) throw new RangeError('a batch has the columns of its schema');
    return sliceColumn(column, valueWidth(type), from, count);
  });
  return { firstRow: batch.firstRow + from, rowCount: count, columns };
}

/** Cuts a batch into batches of at most so many bytes, of a row at least. */
export function* cutBatch(schema: Schema, batch: Batch, bytesMax: number): Generator<Batch> {
  const bytes = batchBytes(batch);
  // Some slack, so that a stored block a little over the limit is not sent as one large and one tiny batch.
  if (bytes <= bytesMax * 1.1 || batch.rowCount === 1) {
    yield batch;
    return;
  }
  const middle = Math.ceil(bytes / bytesMax);
  const rows = Math.max(1, Math.floor(batch.rowCount / middle));
  for (let from = 0; from < batch.rowCount; from += rows) {
    const part = sliceBatch(schema, batch, from, Math.min(rows, batch.rowCount - from));
    // Rows of strings differ in size: a part that is still too large is cut again.
    if (part.rowCount < batch.rowCount) yield* cutBatch(schema, part, bytesMax);
    else yield part;
  }
}

/** The columns with these indices, in this order. */
export function selectColumns(batch: Batch, indices: readonly number[]): Batch {
  const columns = indices.map((index) => {
    const column = batch.columns[index];
    if (column === undefined) throw new RangeError(`a batch of ${batch.columns.length} columns has no column ${index}`);
    return column;
  });
  return { firstRow: batch.firstRow, rowCount: batch.rowCount, columns };
}

function sliceColumn(column: Column, width: number | undefined, from: number, count: number): Column {
  const validity = column.validity === undefined ? undefined : sliceBits(column.validity, from, count);
  if (width !== undefined) {
    return { values: column.values.subarray(from * width, (from + count) * width), offsets: undefined, validity };
  }
  const all = offsetsView(column);
  const start = all.getUint32(from * 4, true);
  const end = all.getUint32((from + count) * 4, true);
  const offsets = new Uint8Array((count + 1) * 4);
  const shifted = new DataView(offsets.buffer);
  for (let i = 0; i <= count; i++) shifted.setUint32(i * 4, all.getUint32((from + i) * 4, true) - start, true);
  return { values: column.values.subarray(start, end), offsets, validity };
}

/** The offsets of a string column, to read as u32 LE. */
export function offsetsView(column: Column): DataView {
  if (column.offsets === undefined) throw new RangeError('a string column has offsets');
  return new DataView(column.offsets.buffer, column.offsets.byteOffset, column.offsets.byteLength);
}
