import type { Batch, Column, Schema } from './batch.js';
import { bitmapBytes, valueWidth } from './batch.js';
import { offsetsView } from './slice.js';
import { copyBits, isAllSet } from './validity.js';

/** A call into native code costs more than so many bytes do. */
const COPY_BYTES_MIN = 64;

/** Some rows of a batch: runs of them, each a first row, counted within the batch, and a number of rows. */
export class PickedRuns {
  private runs = new Uint32Array(64);
  /** Twice the number of runs. */
  length = 0;
  rowCount = 0;

  add(from: number, count: number): void {
    if (this.length === this.runs.length) {
      const larger = new Uint32Array(this.runs.length * 2);
      larger.set(this.runs);
      this.runs = larger;
    }
    this.runs[this.length++] = from;
    this.runs[this.length++] = count;
    this.rowCount += count;
  }

  /** First row of run `i` / 2. */
  from(i: number): number {
    return this.runs[i] as number;
  }

  /** Number of its rows. */
  count(i: number): number {
    return this.runs[i + 1] as number;
  }
}

/** Takes these rows out of a batch, one after the other, into memory of their own; `firstRow` numbers the first of them. */
export function pickRows(schema: Schema, batch: Batch, runs: PickedRuns, firstRow: number): Batch {
  const { rowCount } = runs;
  if (rowCount === batch.rowCount) return { ...batch, firstRow };
  const columns = schema.map((type, i): Column => {
    const column = batch.columns[i];
    if (column === undefined) throw new RangeError('a batch has the columns of its schema');
    const validity = column.validity === undefined ? undefined : pickBits(column.validity, runs);
    const width = valueWidth(type);
    if (width === undefined) return { ...pickStrings(column, runs), validity };
    return { values: pickValues(column.values, width, runs), offsets: undefined, validity };
  });
  return { firstRow, rowCount, columns };
}

function pickValues(values: Uint8Array, width: number, runs: PickedRuns): Uint8Array {
  const picked = new Uint8Array(runs.rowCount * width);
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const from = runs.from(i) * width;
    const byteLength = runs.count(i) * width;
    if (byteLength >= COPY_BYTES_MIN) picked.set(values.subarray(from, from + byteLength), at);
    else for (let b = 0; b < byteLength; b++) picked[at + b] = values[from + b] as number;
    at += byteLength;
  }
  return picked;
}

function pickBits(bits: Uint8Array, runs: PickedRuns): Uint8Array | undefined {
  const picked = new Uint8Array(bitmapBytes(runs.rowCount));
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) {
    copyBits(bits, runs.from(i), picked, at, runs.count(i));
    at += runs.count(i);
  }
  return isAllSet(picked, runs.rowCount) ? undefined : picked;
}

function pickStrings(column: Column, runs: PickedRuns): { values: Uint8Array; offsets: Uint8Array } {
  const all = offsetsView(column);
  const offsets = new Uint8Array((runs.rowCount + 1) * 4);
  const view = new DataView(offsets.buffer);
  let row = 0;
  let end = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const from = runs.from(i);
    const start = all.getUint32(from * 4, true);
    for (let n = 1; n <= runs.count(i); n++)
      view.setUint32(++row * 4, end + all.getUint32((from + n) * 4, true) - start, true);
    end = view.getUint32(row * 4, true);
  }
  return { values: pickTexts(column, all, runs, end), offsets };
}

function pickTexts(column: Column, offsets: DataView, runs: PickedRuns, byteLength: number): Uint8Array {
  const values = new Uint8Array(byteLength);
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const start = offsets.getUint32(runs.from(i) * 4, true);
    const end = offsets.getUint32((runs.from(i) + runs.count(i)) * 4, true);
    values.set(column.values.subarray(start, end), at);
    at += end - start;
  }
  return values;
}
