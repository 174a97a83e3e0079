import { isUtf8 } from 'node:buffer';
import type { Data } from 'apache-arrow/data';
import { Precision } from 'apache-arrow/enum';
import { DataType } from 'apache-arrow/type';
import { ValueType, type Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { STRING_BYTES_MAX } from '../../server/limits.js';
import { sliceBits } from '../../server/rows/validity.js';
import type { ColumnInput } from '../typescript/index.js';
import { exactNumber, type Cell } from './cells.js';
import { InputError } from './input-error.js';

/** Rows `row` to before `end` of a batch, before which the input has `rowsBefore` rows. */
export interface RowsOfBatch {
  readonly row: number;
  readonly end: number;
  readonly rowsBefore: number;
}

/** What values of a type are; undefined where no variable can hold them. Of nothing but nulls it is not known: neither. */
export function valueTypeOf(type: DataType): ValueType | undefined {
  if (DataType.isDictionary(type)) return valueTypeOf(type.dictionary as DataType);
  if (DataType.isFloat(type)) return type.precision === Precision.HALF ? undefined : ValueType.FLOAT64;
  if (DataType.isInt(type)) return ValueType.INT64;
  if (DataType.isBool(type)) return ValueType.BOOL;
  return DataType.isUtf8(type) || DataType.isLargeUtf8(type) || DataType.isUtf8View(type)
    ? ValueType.STRING
    : undefined;
}

/** Its name for people, such as Int64. */
export function nameOfType(type: DataType): string {
  return (type as { toString(): string }).toString();
}

/** Refuses a type that the variable can't hold. InputError. */
export function checkType(variable: Variable, type: DataType): void {
  if (DataType.isNull(type)) return;
  const found = valueTypeOf(type);
  const { valueType } = variable;
  if (found === valueType || (found === ValueType.INT64 && valueType === ValueType.FLOAT64)) return;
  throw new InputError(
    `"${variable.name}" is ${nameOfType(type)} in the Arrow input; the variable is ${ValueType[valueType]}. Cast it there, or change the problem.`,
  );
}

/** Values of a column as a writer takes them; doubles and integers of 64 bits are views of the batch. InputError that names the row. */
export function columnOf(variable: Variable, data: Data, rows: RowsOfBatch): ColumnInput {
  const { type } = data;
  if (DataType.isFloat(type) || DataType.isInt(type)) {
    const values = numbersOf(variable, data, rows);
    return { values, validity: bitsOf(data, rows) };
  }
  return Array.from(cellsOf(variable, data, rows));
}

function bitsOf(data: Data, { row, end }: RowsOfBatch): Uint8Array | undefined {
  if (data.nullCount === 0 || data.nullBitmap.byteLength === 0) return undefined;
  return sliceBits(data.nullBitmap, data.offset + row, end - row);
}

function isThere({ nullBitmap, nullCount, offset }: Data, row: number): boolean {
  // Where the type is Null there is no bitmap at all, whatever the types say.
  const bytes = (nullBitmap as Uint8Array | undefined)?.byteLength ?? 0;
  if (nullCount === 0 || bytes === 0) return true;
  return (((nullBitmap[(offset + row) >>> 3] ?? 0) >>> ((offset + row) & 7)) & 1) === 1;
}

function numbersOf(variable: Variable, data: Data, rows: RowsOfBatch): Float64Array | BigInt64Array {
  const { row, end } = rows;
  const values = (data.values as Float64Array | BigInt64Array | BigUint64Array | Int32Array).subarray(row, end);
  if (values.length < end - row) throw new InputError('The Arrow input has a batch with fewer values than it says.');
  const check = (isRight: (value: bigint) => boolean, wanted: string) => {
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as bigint;
      if (!isRight(value) && isThere(data, row + i))
        throw new InputError(`${place(variable, rows, row + i)} is ${value}, which ${wanted}.`);
    }
  };
  if (variable.valueType === ValueType.FLOAT64) {
    if (values instanceof Float64Array) return values;
    if (values instanceof BigInt64Array || values instanceof BigUint64Array) {
      check((value) => BigInt(Number(value)) === value, 'no double is exactly; the variable is FLOAT64');
      return Float64Array.from(values as BigInt64Array, Number);
    }
    return Float64Array.from(values);
  }
  if (values instanceof BigInt64Array) return values;
  if (!(values instanceof BigUint64Array)) return BigInt64Array.from(values as Int32Array, BigInt);
  check((value) => BigInt.asIntN(64, value) === value, 'is beyond 64 bits with a sign; the variable is INT64');
  return new BigInt64Array(values.buffer, values.byteOffset, values.length);
}

function place(variable: Variable, { rowsBefore }: RowsOfBatch, row: number): string {
  return `Row ${rowsBefore + row} of "${variable.name}"`;
}

function* cellsOf(variable: Variable, data: Data, rows: RowsOfBatch): Generator<Cell, void> {
  const valueAt = readerOf(data);
  for (let row = rows.row; row < rows.end; row++) {
    const value = isThere(data, row) ? valueAt(row) : null;
    const where = () => place(variable, rows, row);
    if (value instanceof Uint8Array) yield textOf(value, where);
    else if (typeof value === 'number' || typeof value === 'bigint') yield numberOf(variable, value, where);
    else yield value;
  }
}

function textOf(bytes: Uint8Array, where: () => string): string {
  if (bytes.byteLength > STRING_BYTES_MAX)
    throw new InputError(`${where()} has ${bytes.byteLength} bytes; at most ${STRING_BYTES_MAX} are possible.`);
  if (!isUtf8(bytes)) throw new InputError(`${where()} is not UTF-8.`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function numberOf(variable: Variable, value: number | bigint, where: () => string): Cell {
  const exact = exactNumber(variable, value);
  if (exact !== undefined) return exact;
  throw new InputError(`${where()} is ${value}; the variable is ${ValueType[variable.valueType]}.`);
}

/** Strings as the bytes that they are: they are checked before they become text. */
type RawCell = Exclude<Cell, string> | Uint8Array;
type Reader = (row: number) => RawCell;

function readerOf(data: Data): Reader {
  const { type } = data;
  if (DataType.isNull(type)) return () => null;
  if (DataType.isDictionary(type)) return dictionaryReader(data);
  if (DataType.isUtf8View(type)) return viewReader(data);
  const { values } = data as { values: Uint8Array | Float64Array | BigInt64Array };
  if (DataType.isBool(type))
    return (row) => ((Number(values[(data.offset + row) >>> 3]) >>> ((data.offset + row) & 7)) & 1) === 1;
  if (DataType.isInt(type) || DataType.isFloat(type)) return (row) => values[row] ?? null;
  const { valueOffsets } = data as unknown as { valueOffsets: Int32Array | BigInt64Array };
  return (row) => (values as Uint8Array).subarray(Number(valueOffsets[row]), Number(valueOffsets[row + 1]));
}

/** A dictionary that is added to has several parts. */
function dictionaryReader({ values, dictionary }: Data): Reader {
  const parts = (dictionary?.data ?? []) as readonly Data[];
  const readers = parts.map(readerOf);
  return (row) => {
    let index = Number((values as Int32Array)[row]);
    for (const [i, part] of parts.entries()) {
      if (index < part.length) return isThere(part, index) ? (readers[i] as Reader)(index) : null;
      index -= part.length;
    }
    throw new InputError('The Arrow input has an index that its dictionary has not.');
  };
}

/** Of 16 bytes each: the length, then the text itself where it has at most 12 bytes, else four of them and where it lies. */
function viewReader({ values, variadicBuffers }: Data): Reader {
  const bytes = values as Uint8Array;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return (row) => {
    const at = row * 16;
    const length = view.getInt32(at, true);
    if (length <= 12) return bytes.subarray(at + 4, at + 4 + length);
    const start = view.getInt32(at + 12, true);
    return variadicBuffers[view.getInt32(at + 8, true)]?.subarray(start, start + length) ?? null;
  };
}
