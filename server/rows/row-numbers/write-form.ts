import type { RowNumbers } from '../../../proto/gen/optistore/v1/rows_pb.js';
import { setBits } from '../validity.js';
import type { Runs, RunSource } from './runs.js';

/** Row numbers in their smallest form, and what is known of them. */
export interface StoredRows {
  readonly rows: RowNumbers;
  readonly rowCount: number;
}

/** How many bytes rows would take in each form; nothing is written yet. */
export interface FormSizes {
  readonly rowCount: number;
  readonly deltas: number;
  readonly bitmap: number;
  readonly ranges: number;
}

/** Bytes of row numbers as they are kept. */
export function rowNumbersBytes(rows: RowNumbers | undefined): number {
  return rows?.form.value?.byteLength ?? 0;
}

/** Measures rows in each form, in one pass. */
export function measureForms(runs: Runs): FormSizes {
  let [rowCount, deltas, ranges, end] = [0, 0, 0, 0];
  while (runs.advance()) {
    const length = runs.end - runs.first;
    const gapBytes = varintBytes(runs.first - end);
    rowCount += length;
    deltas += gapBytes + length - 1;
    ranges += gapBytes + varintBytes(length - 1);
    end = runs.end;
  }
  return { rowCount, deltas, bitmap: Math.ceil(end / 8), ranges };
}

/** Bytes of the smallest form. */
export function smallestBytes({ deltas, bitmap, ranges }: FormSizes): number {
  return Math.min(deltas, bitmap, ranges);
}

/** Writes rows in their smallest form: two passes, one to measure and one to write. */
export function writeRowNumbers(source: RunSource, sizes: FormSizes = measureForms(source())): StoredRows {
  const { rowCount } = sizes;
  if (rowCount === 0) return { rows: rowNumbers({ case: undefined }), rowCount };
  const byteLength = smallestBytes(sizes);
  const bytes = new Uint8Array(byteLength);
  if (sizes.ranges === byteLength) {
    writeRanges(source(), bytes);
    return { rows: rowNumbers({ case: 'ranges', value: bytes }), rowCount };
  }
  if (sizes.bitmap === byteLength) {
    writeBitmap(source(), bytes);
    return { rows: rowNumbers({ case: 'bitmap', value: bytes }), rowCount };
  }
  writeDeltas(source(), bytes);
  return { rows: rowNumbers({ case: 'deltas', value: bytes }), rowCount };
}

function rowNumbers(form: RowNumbers['form']): RowNumbers {
  return { $typeName: 'optistore.v1.RowNumbers', form };
}

function writeRanges(runs: Runs, bytes: Uint8Array): void {
  let [at, end] = [0, 0];
  while (runs.advance()) {
    at = writeVarint(bytes, at, runs.first - end);
    at = writeVarint(bytes, at, runs.end - runs.first - 1);
    end = runs.end;
  }
}

function writeDeltas(runs: Runs, bytes: Uint8Array): void {
  let [at, end] = [0, 0];
  while (runs.advance()) {
    at = writeVarint(bytes, at, runs.first - end);
    // The rows of a run have nothing between them: their deltas are the zeros that are there.
    at += runs.end - runs.first - 1;
    end = runs.end;
  }
}

function writeBitmap(runs: Runs, bytes: Uint8Array): void {
  while (runs.advance()) setBits(bytes, runs.first, runs.end - runs.first);
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

function writeVarint(bytes: Uint8Array, from: number, value: number): number {
  let at = from;
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  bytes[at++] = rest;
  return at;
}
