import type { Batch, Column } from '../../rows/batch.js';
import { batchBytes, columnBuffers } from '../../rows/batch.js';

/** A view may leave this share of the memory behind it unused before it is worth a copy. */
const WASTE_SHARE_MAX = 1 / 8;

/** Bytes of memory that a batch keeps alive: of each buffer, all that was allocated with it. */
export function heldBytes(batch: Batch): number {
  const held = new Set<ArrayBufferLike>();
  for (const column of batch.columns) for (const buffer of columnBuffers(column)) held.add(buffer.buffer);
  let total = 0;
  for (const { byteLength } of held) total += byteLength;
  return total;
}

/** The batch itself where it has its memory for itself, else a copy that does: a message must not stay for one view of it. */
export function compactBatch(batch: Batch): Batch {
  const byteLength = batchBytes(batch);
  return heldBytes(batch) <= byteLength * (1 + WASTE_SHARE_MAX) ? batch : copyBatch(batch, byteLength);
}

/** One allocation for all buffers: a row that is saved by itself has many small ones. */
function copyBatch(batch: Batch, byteLength: number): Batch {
  const memory = new Uint8Array(byteLength);
  let at = 0;
  const copy = (buffer: Uint8Array): Uint8Array => {
    memory.set(buffer, at);
    at += buffer.byteLength;
    return memory.subarray(at - buffer.byteLength, at);
  };
  const columns = batch.columns.map((column): Column => ({
    values: copy(column.values),
    offsets: column.offsets && copy(column.offsets),
    validity: column.validity && copy(column.validity),
  }));
  return { firstRow: batch.firstRow, rowCount: batch.rowCount, columns };
}
