import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ValueType } from '../../proto/gen/optistore/v1/problem_pb.js';
import { STRING_BYTES_MAX } from '../limits.js';
import type { Column } from './batch.js';
import { bitmapBytes, valueWidth } from './batch.js';
import { canonical } from './canonical.js';
import { gatherBatches } from './gather.js';
import { offsetsView } from './slice.js';

/** Values of one column as a program has them. null and undefined are missing; NaN is a value. */
export type ColumnInput =
  Float64Array | BigInt64Array | SparseNumbers | readonly (number | bigint | boolean | string | null | undefined)[];

/** Numbers of which some may be missing, such as a loaded column's. */
export interface SparseNumbers {
  readonly values: Float64Array | BigInt64Array;
  /** Bitmap of the values that are there, least significant bit first. Undefined: all are. */
  readonly validity: Uint8Array | undefined;
}

/** Values of one column as a program gets them. */
export interface LoadedColumn {
  readonly variable: Variable;
  /** Float64Array, BigInt64Array, Uint8Array of 0 and 1 for bool, or strings; a missing one has 0 or "". */
  readonly values: Float64Array | BigInt64Array | Uint8Array | readonly string[];
  /** Bitmap of the values that are there, least significant bit first. Undefined: all are. */
  readonly validity: Uint8Array | undefined;
}

/** Value `row` of a column; null where it is missing. */
export function valueAt(column: LoadedColumn, row: number): number | bigint | boolean | string | null {
  if (column.validity !== undefined && (((column.validity[row >>> 3] ?? 0) >>> (row & 7)) & 1) === 0) return null;
  const value = column.values[row];
  if (value === undefined) return null;
  return column.variable.valueType === ValueType.BOOL ? value === 1 : value;
}

/**
 * Encodes columns by their variables. Those of typed arrays are views of them: whoever keeps them for longer than the caller
 * leaves its arrays alone copies them. RangeError or TypeError that names the column which does not fit.
 */
export function encodeColumns(
  variables: readonly Variable[],
  columns: Readonly<Record<string, ColumnInput>>,
): { rowCount: number; columns: Column[] } {
  const [first] = Object.values(columns);
  const rowCount = first === undefined ? 0 : lengthOf(first);
  const encoded = variables.map((variable) => {
    const input = Object.hasOwn(columns, variable.name) ? columns[variable.name] : undefined;
    if (input === undefined)
      throw (
        unknownColumn(variables, columns) ?? new RangeError(`there are no values for the variable "${variable.name}"`)
      );
    if (lengthOf(input) !== rowCount)
      throw new RangeError(`"${variable.name}" has ${lengthOf(input)} values where the first column has ${rowCount}`);
    return encodeColumn(variable, input);
  });
  // Each variable has a column: more columns than variables are some that the problem has not.
  const unknown = Object.keys(columns).length > variables.length ? unknownColumn(variables, columns) : undefined;
  if (unknown !== undefined) throw unknown;
  return { rowCount, columns: encoded };
}

/** Arrays have a member `values` too. */
function isSparse(input: ColumnInput): input is SparseNumbers {
  return !Array.isArray(input) && 'validity' in input;
}

function lengthOf(input: ColumnInput): number {
  return isSparse(input) ? input.values.length : input.length;
}

function unknownColumn(
  variables: readonly Variable[],
  columns: Readonly<Record<string, ColumnInput>>,
): RangeError | undefined {
  const names = new Set(variables.map((variable) => variable.name));
  const extra = Object.keys(columns).find((name) => !names.has(name));
  if (extra === undefined) return undefined;
  return new RangeError(
    `the problem has no variable "${extra}"; leave it out, or add it to the problem as an observable`,
  );
}

/** Few numbers are put beside others: a row of forty in forty memories of their own would cost more than all else. */
const SLAB_BYTES = 8192;
let slab = new ArrayBuffer(SLAB_BYTES);
let slabUsed = 0;

/** Memory that is zero, and nobody else's. */
function newMemory(byteLength: number): DataView {
  if (byteLength > SLAB_BYTES / 8) return new DataView(new ArrayBuffer(byteLength));
  if (slabUsed + byteLength > SLAB_BYTES) {
    slab = new ArrayBuffer(SLAB_BYTES);
    slabUsed = 0;
  }
  const memory = new DataView(slab, slabUsed, byteLength);
  slabUsed += byteLength;
  return memory;
}

function encodeColumn(variable: Variable, input: ColumnInput): Column {
  const { valueType } = variable;
  if (input instanceof Float64Array || input instanceof BigInt64Array) {
    const fits = valueType === (input instanceof Float64Array ? ValueType.FLOAT64 : ValueType.INT64);
    if (!fits)
      throw new TypeError(`"${variable.name}" is ${ValueType[valueType]}, but a ${input.constructor.name} was given`);
    const values = new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
    return { values, offsets: undefined, validity: undefined };
  }
  if (isSparse(input)) return encodeSparse(variable, input);
  const validity = validityOf(input);
  if (valueType === ValueType.STRING) return { ...encodeStrings(variable, input), validity };
  const view = newMemory(input.length * (valueType === ValueType.BOOL ? 1 : 8));
  for (let row = 0; row < input.length; row++) {
    const value = input[row];
    if (value !== null && value !== undefined) setValue(view, row, variable, value);
  }
  return { values: new Uint8Array(view.buffer, view.byteOffset, view.byteLength), offsets: undefined, validity };
}

function encodeSparse(variable: Variable, { values, validity }: SparseNumbers): Column {
  const column = encodeColumn(variable, values);
  if (validity === undefined) return column;
  const bytes = bitmapBytes(values.length);
  if (validity.byteLength < bytes)
    throw new RangeError(
      `the bitmap of "${variable.name}" has ${validity.byteLength} bytes; ${values.length} values need ${bytes}`,
    );
  return canonical({ ...column, validity: validity.subarray(0, bytes) }, variable.valueType, values.length);
}

function setValue(view: DataView, row: number, variable: Variable, value: number | bigint | boolean | string): void {
  const { valueType } = variable;
  if (valueType === ValueType.FLOAT64 && typeof value === 'number') view.setFloat64(row * 8, value, true);
  else if (valueType === ValueType.INT64 && isInt64(value)) view.setBigInt64(row * 8, BigInt(value), true);
  else if (valueType === ValueType.BOOL && typeof value === 'boolean') view.setUint8(row, value ? 1 : 0);
  else
    throw new TypeError(
      `value ${row} of "${variable.name}" is ${String(value)} (${typeof value}); the variable is ${ValueType[valueType]}`,
    );
}

function isInt64(value: unknown): value is number | bigint {
  return typeof value === 'bigint' ? BigInt.asIntN(64, value) === value : Number.isSafeInteger(value);
}

function validityOf(input: readonly unknown[]): Uint8Array | undefined {
  let bits: Uint8Array | undefined;
  for (let row = 0; row < input.length; row++) {
    const value = input[row];
    if (value !== null && value !== undefined) continue;
    bits ??= new Uint8Array(bitmapBytes(input.length)).fill(0xff);
    bits[row >>> 3] = (bits[row >>> 3] ?? 0) & ~(1 << (row & 7));
  }
  return bits;
}

function encodeStrings(variable: Variable, input: readonly unknown[]): { values: Uint8Array; offsets: Uint8Array } {
  const offsets = new Uint8Array((input.length + 1) * 4);
  const view = new DataView(offsets.buffer);
  const parts: Buffer[] = [];
  let at = 0;
  for (const [row, value] of input.entries()) {
    if (value !== null && value !== undefined) {
      if (typeof value !== 'string')
        throw new TypeError(`value ${row} of "${variable.name}" is a ${typeof value}; the variable is STRING`);
      if (!value.isWellFormed())
        throw new TypeError(`value ${row} of "${variable.name}" is not valid Unicode: half of a surrogate pair`);
      const part = Buffer.from(value, 'utf8');
      if (part.byteLength > STRING_BYTES_MAX)
        throw new RangeError(
          `value ${row} of "${variable.name}" has ${part.byteLength} bytes; a string has at most ${STRING_BYTES_MAX}`,
        );
      parts.push(part);
      at += part.byteLength;
    }
    view.setUint32((row + 1) * 4, at, true);
  }
  return { values: new Uint8Array(Buffer.concat(parts)), offsets };
}

/** Decodes a column; numbers are copied once, into memory of their own. */
export function decodeColumn(variable: Variable, column: Column, rowCount: number): LoadedColumn {
  if (variable.valueType === ValueType.STRING) return viewColumn(variable, column, rowCount);
  // Not zeroed before it is filled.
  const values = new Uint8Array(Buffer.allocUnsafeSlow(column.values.byteLength).buffer);
  values.set(column.values);
  return viewColumn(variable, { ...column, values }, rowCount);
}

/**
 * Copies the numbers of columns into one memory of their own, each aligned: many small memories would cost more than the copy.
 * Text stays where it is: who views it makes strings of it.
 */
export function inOwnMemory(columns: readonly Column[]): Column[] {
  const aligned = (byteLength: number) => Math.ceil(byteLength / 8) * 8;
  let byteLength = 0;
  for (const { values, offsets, validity } of columns)
    byteLength += (offsets === undefined ? aligned(values.byteLength) : 0) + aligned(validity?.byteLength ?? 0);
  // Not zeroed before it is filled.
  const { buffer } = Buffer.allocUnsafeSlow(byteLength);
  let at = 0;
  const copy = (bytes: Uint8Array) => {
    const own = new Uint8Array(buffer, at, bytes.byteLength);
    own.set(bytes);
    at += aligned(bytes.byteLength);
    return own;
  };
  return columns.map((column) => ({
    ...column,
    values: column.offsets === undefined ? copy(column.values) : column.values,
    validity: column.validity && copy(column.validity),
  }));
}

/** Columns of a message whose numbers can be viewed: as they lie, or in memory of their own. */
export function viewable(columns: readonly Column[], variables: readonly Variable[]): readonly Column[] {
  const isViewable = ({ values }: Column, i: number) => {
    const width = valueWidth(variables[i]?.valueType ?? ValueType.UNSPECIFIED);
    // Of a small message the memory is Node's own, which others have parts of.
    return width === undefined || (values.byteOffset % width === 0 && values.buffer.byteLength !== Buffer.poolSize);
  };
  return columns.every(isViewable) ? columns : inOwnMemory(columns);
}

/** The same without a copy, of numbers that begin at a multiple of 8 bytes of their memory. */
export function viewColumn(variable: Variable, column: Column, rowCount: number): LoadedColumn {
  return { variable, values: viewValues(variable, column, rowCount), validity: column.validity };
}

function viewValues(variable: Variable, column: Column, rowCount: number): LoadedColumn['values'] {
  const { valueType } = variable;
  if (valueType === ValueType.STRING) {
    const offsets = offsetsView(column);
    const text = Buffer.from(column.values.buffer, column.values.byteOffset, column.values.byteLength);
    return Array.from({ length: rowCount }, (_, row) =>
      text.toString('utf8', offsets.getUint32(row * 4, true), offsets.getUint32(row * 4 + 4, true)),
    );
  }
  const { buffer, byteOffset } = column.values;
  if (valueType === ValueType.FLOAT64) return new Float64Array(buffer, byteOffset, rowCount);
  if (valueType === ValueType.INT64) return new BigInt64Array(buffer, byteOffset, rowCount);
  return column.values;
}

/** Joins parts of a column that follow each other. */
export function concatColumns(
  variable: Variable,
  parts: readonly { column: Column; rowCount: number }[],
): LoadedColumn {
  let firstRow = 0;
  const batches = parts.map(({ column, rowCount }) => {
    const batch = { firstRow, rowCount, columns: [column] };
    firstRow += rowCount;
    return batch;
  });
  if (batches.length === 0)
    return decodeColumn(variable, { values: new Uint8Array(0), offsets: new Uint8Array(4), validity: undefined }, 0);
  const joined = gatherBatches([variable.valueType], batches);
  // What was joined is in memory of its own.
  const decode = batches.length > 1 ? viewColumn : decodeColumn;
  return decode(variable, joined.columns[0] as Column, joined.rowCount);
}
