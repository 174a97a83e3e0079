import type { Batch, Column, Schema } from './batch.js';
import { bitmapBytes, valueWidth } from './batch.js';
import { offsetsView } from './slice.js';
import { copyBits, isAllSet, setBits } from './validity.js';

/** A column whose values lie in pieces, in the order of its rows. */
export interface PiecedColumn {
  readonly pieces: readonly Pick<Column, 'values' | 'valuesCrc'>[];
  readonly offsets: Uint8Array | undefined;
  readonly validity: Uint8Array | undefined;
}

/** Consecutive rows that lie in several batches. */
export interface PiecedBatch {
  readonly firstRow: number;
  readonly rowCount: number;
  readonly columns: readonly PiecedColumn[];
}

/** A batch as one whose columns lie in pieces: each in one. */
export function inOnePiece({ firstRow, rowCount, columns }: Batch): PiecedBatch {
  return { firstRow, rowCount, columns: columns.map((column) => ({ ...column, pieces: [column] })) };
}

/** Joins batches that follow each other without copying their values. */
export function joinBatches(schema: Schema, batches: readonly Batch[]): PiecedBatch {
  const [first] = batches;
  if (first === undefined) throw new RangeError('there is nothing to gather');
  if (batches.length === 1) return inOnePiece(first);
  let rowCount = 0;
  for (const batch of batches) {
    if (batch.firstRow !== first.firstRow + rowCount) throw new RangeError('gathered batches follow each other');
    rowCount += batch.rowCount;
  }
  const columns = schema.map((type, index): PiecedColumn => {
    const parts = batches.map((batch) => partOf(batch, index));
    const offsets = valueWidth(type) === undefined ? gatherOffsets(parts, rowCount) : undefined;
    return { pieces: parts.map(({ column }) => column), offsets, validity: gatherValidity(parts, rowCount) };
  });
  return { firstRow: first.firstRow, rowCount, columns };
}

/** Joins batches that follow each other into one, with buffers of its own. One batch is returned as it is. */
export function gatherBatches(schema: Schema, batches: readonly Batch[]): Batch {
  const [first] = batches;
  if (first !== undefined && batches.length === 1) return first;
  const { firstRow, rowCount, columns } = joinBatches(schema, batches);
  return {
    firstRow,
    rowCount,
    columns: columns.map(({ pieces, offsets, validity }) => {
      return { values: gatherBytes(pieces.map(({ values }) => values)), offsets, validity };
    }),
  };
}

interface Part {
  readonly column: Column;
  readonly rowCount: number;
}

function partOf(batch: Batch, index: number): Part {
  const column = batch.columns[index];
  if (column === undefined) throw new RangeError('a batch has the columns of its schema');
  return { column, rowCount: batch.rowCount };
}

function gatherBytes(pieces: readonly Uint8Array[]): Uint8Array {
  let total = 0;
  for (const piece of pieces) total += piece.byteLength;
  const joined = new Uint8Array(total);
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.byteLength;
  }
  return joined;
}

function gatherOffsets(parts: readonly Part[], rowCount: number): Uint8Array {
  const offsets = new Uint8Array((rowCount + 1) * 4);
  const view = new DataView(offsets.buffer);
  let row = 0;
  let start = 0;
  for (const part of parts) {
    const from = offsetsView(part.column);
    for (let i = 1; i <= part.rowCount; i++) view.setUint32((row + i) * 4, start + from.getUint32(i * 4, true), true);
    row += part.rowCount;
    start += part.column.values.byteLength;
  }
  return offsets;
}

function gatherValidity(parts: readonly Part[], rowCount: number): Uint8Array | undefined {
  if (parts.every((part) => part.column.validity === undefined)) return undefined;
  const bits = new Uint8Array(bitmapBytes(rowCount));
  let row = 0;
  for (const part of parts) {
    if (part.column.validity === undefined) setBits(bits, row, part.rowCount);
    else copyBits(part.column.validity, 0, bits, row, part.rowCount);
    row += part.rowCount;
  }
  return isAllSet(bits, rowCount) ? undefined : bits;
}
