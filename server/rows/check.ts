import { isUtf8 } from 'node:buffer';
import { ValueType } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Column as WireColumn, RowBatch } from '../../proto/gen/optistore/v1/rows_pb.js';
import { StorageError } from '../errors.js';
import { COLUMN_PADDING_BYTES_MAX, ROW_STRING_BYTES_MAX, STRING_BYTES_MAX } from '../limits.js';
import type { Batch, Column, Schema } from './batch.js';
import { bitmapBytes } from './batch.js';
import { canonical } from './canonical.js';
import { batchCrc32, crc32 } from './checksum.js';
import { offsetsView } from './slice.js';

/** From here on a column's checksum is kept for its block; of a few values it is sooner computed again. */
const SHARED_CRC_BYTES_MIN = 4096;

const CASE_OF_TYPE: Record<ValueType, WireColumn['values']['case']> = {
  [ValueType.UNSPECIFIED]: undefined,
  [ValueType.FLOAT64]: 'float64Values',
  [ValueType.INT64]: 'int64Values',
  [ValueType.BOOL]: 'boolValues',
  [ValueType.STRING]: 'stringValues',
};

/**
 * Checks a batch from the wire against its schema, once; what it returns needs no further check. Missing slots
 * become zero or empty, and a bitmap with every bit set is dropped. BATCH_MISMATCH, CHECKSUM_MISMATCH.
 */
export function checkBatch(schema: Schema, wire: RowBatch): Batch {
  const { rowCount } = wire;
  if (schema.length === 0)
    throw new StorageError(
      'PROBLEM_INVALID',
      'The problem has no variables, so it takes no rows. Open the upload with its variables.',
    );
  if (rowCount === 0) throw mismatch('it has no rows; a batch has at least one');
  if (wire.firstRow > BigInt(Number.MAX_SAFE_INTEGER - rowCount)) throw mismatch(`first_row is ${wire.firstRow}`);
  if (wire.columns.length !== schema.length) {
    throw mismatch(`it has ${wire.columns.length} columns; the problem has ${schema.length} variables`);
  }
  const columns: Column[] = [];
  for (let i = 0; i < schema.length; i++) {
    columns.push(takeColumn(schema[i] as ValueType, wire.columns[i] as WireColumn, rowCount, i));
  }
  const batch = { firstRow: Number(wire.firstRow), rowCount, columns };
  if (wire.crc32 !== undefined) {
    for (const [i, column] of columns.entries())
      if (column.values.byteLength >= SHARED_CRC_BYTES_MIN) columns[i] = { ...column, valuesCrc: crc32(column.values) };
    const crc = batchCrc32(batch);
    if (crc !== wire.crc32) {
      throw new StorageError(
        'CHECKSUM_MISMATCH',
        `The batch at row ${batch.firstRow} has CRC-32 ${crc}, not ${wire.crc32} as it says: it was damaged on the way. Send it again.`,
      );
    }
  }
  checkStrings(schema, batch);
  for (let i = 0; i < columns.length; i++) {
    const column = columns[i] as Column;
    if (column.validity !== undefined) columns[i] = canonical(column, schema[i] as ValueType, rowCount);
  }
  return batch;
}

function takeColumn(type: ValueType, wire: WireColumn, rowCount: number, i: number): Column {
  const { values } = wire;
  if (values.case !== CASE_OF_TYPE[type] || values.case === undefined) {
    throw mismatch(`column ${i} has ${values.case ?? 'no values'}; its variable is ${ValueType[type]}`);
  }
  // It would be memory that is held and not counted.
  if (wire.padding.byteLength > COLUMN_PADDING_BYTES_MAX) {
    throw mismatch(
      `column ${i} has ${wire.padding.byteLength} bytes of padding; at most ${COLUMN_PADDING_BYTES_MAX} are possible`,
    );
  }
  const validity = wire.validity.byteLength === 0 ? undefined : wire.validity;
  if (validity !== undefined && validity.byteLength !== bitmapBytes(rowCount)) {
    throw mismatch(
      `the validity of column ${i} has ${validity.byteLength} bytes; ${rowCount} rows need ${bitmapBytes(rowCount)}`,
    );
  }
  if (values.case === 'stringValues') {
    const { offsets, utf8 } = values.value;
    if (offsets.byteLength !== (rowCount + 1) * 4) {
      throw mismatch(
        `column ${i} has ${offsets.byteLength} bytes of offsets; ${rowCount} rows need ${(rowCount + 1) * 4}`,
      );
    }
    return { values: utf8, offsets, validity };
  }
  const width = values.case === 'boolValues' ? 1 : 8;
  if (values.value.byteLength !== rowCount * width) {
    throw mismatch(`column ${i} has ${values.value.byteLength} bytes; ${rowCount} rows need ${rowCount * width}`);
  }
  if (width === 1)
    for (const byte of values.value)
      if (byte > 1) throw mismatch(`column ${i} has ${byte} for a bool; 0 or 1 is possible`);
  return { values: values.value, offsets: undefined, validity };
}

function checkStrings(schema: Schema, batch: Batch): void {
  let rowBytes: Float64Array | undefined;
  for (let i = 0; i < schema.length; i++) {
    if (schema[i] !== ValueType.STRING) continue;
    rowBytes ??= new Float64Array(batch.rowCount);
    const column = batch.columns[i] as Column;
    const offsets = offsetsView(column);
    if (offsets.getUint32(0, true) !== 0) throw mismatch(`the first offset of column ${i} is not 0`);
    let start = 0;
    for (let row = 0; row < batch.rowCount; row++) {
      const end = offsets.getUint32((row + 1) * 4, true);
      if (end < start || end > column.values.byteLength)
        throw mismatch(`offset ${row + 1} of column ${i} is out of order`);
      if (end - start > STRING_BYTES_MAX)
        throw mismatch(
          `row ${batch.firstRow + row} has a string of ${end - start} bytes in column ${i}; at most ${STRING_BYTES_MAX} are kept`,
        );
      // A string begins where a character does, or its neighbour would be cut in two.
      if (end > start && ((column.values[start] ?? 0) & 0xc0) === 0x80)
        throw mismatch(`offset ${row} of column ${i} is inside a character`);
      rowBytes[row] = (rowBytes[row] ?? 0) + end - start;
      if ((rowBytes[row] ?? 0) > ROW_STRING_BYTES_MAX)
        throw mismatch(`the strings of row ${batch.firstRow + row} are over ${ROW_STRING_BYTES_MAX} bytes together`);
      start = end;
    }
    if (start !== column.values.byteLength)
      throw mismatch(`the last offset of column ${i} is not the length of its text`);
    if (!isUtf8(column.values)) throw mismatch(`column ${i} is not UTF-8`);
  }
}

function mismatch(what: string): StorageError {
  return new StorageError('BATCH_MISMATCH', `A batch does not fit the problem: ${what}.`);
}
