import { Field } from 'apache-arrow/schema';
import { Bool, Float64, Int64, Null, Utf8, type DataType } from 'apache-arrow/type';
import type { FileMetaData } from 'hyparquet';
import { ValueType, type Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { ColumnInput } from '../typescript/index.js';
import { exactNumber, isStorable, textFault, type Cell } from './cells.js';
import { InputError } from './input-error.js';

/** Values of a column as hyparquet gives them. */
export type ParquetValues = ArrayLike<unknown>;

type Element = FileMetaData['schema'][number];

/** A field of Arrow that stands for a column, as far as Parquet tells it. Where no variable can hold it, its type is Null. */
export function fieldOf(element: Element): Field {
  const valueType = valueTypeOf(element);
  return new Field(element.name, valueType === undefined ? new Null() : arrowTypeOf(valueType), true);
}

function arrowTypeOf(valueType: ValueType): DataType {
  if (valueType === ValueType.FLOAT64) return new Float64();
  if (valueType === ValueType.INT64) return new Int64();
  return valueType === ValueType.BOOL ? new Bool() : new Utf8();
}

/** What values of a column are; undefined where no variable can hold them: nested ones, times, decimals, bytes. */
function valueTypeOf(element: Element): ValueType | undefined {
  const { type, converted_type: converted, logical_type: logical, num_children: children, repetition_type } = element;
  if (children !== undefined || repetition_type === 'REPEATED') return undefined;
  const isText = converted === 'UTF8' || converted === 'ENUM' || logical?.type === 'STRING' || logical?.type === 'ENUM';
  if (type === 'BYTE_ARRAY') return isText ? ValueType.STRING : undefined;
  if (type === 'BOOLEAN') return ValueType.BOOL;
  if (type === 'DOUBLE' || type === 'FLOAT') return ValueType.FLOAT64;
  const isInteger = converted === undefined ? logical === undefined : /^U?INT_\d+$/.test(converted);
  if (type === 'INT32' || type === 'INT64')
    return isInteger || logical?.type === 'INTEGER' ? ValueType.INT64 : undefined;
  return undefined;
}

/** Refuses a column that the variable can't hold. InputError. */
export function checkParquetType(variable: Variable, element: Element): void {
  // A column of nothing but nulls has no other type.
  if (element.logical_type?.type === 'NULL') return;
  const found = valueTypeOf(element);
  const { valueType } = variable;
  if (found === valueType || (found === ValueType.INT64 && valueType === ValueType.FLOAT64)) return;
  const told = element.logical_type?.type ?? element.converted_type ?? element.type ?? 'nested';
  throw new InputError(
    `"${variable.name}" is ${told} in the Parquet input; the variable is ${ValueType[valueType]}. Cast it there, or change the problem.`,
  );
}

/** Rows of a column as a writer takes them; doubles and integers of 64 bits without missing ones as they are. InputError that names the row. */
export function columnOfParquet(
  variable: Variable,
  pieces: readonly ParquetValues[],
  rows: { readonly row: number; readonly end: number; readonly rowsBefore: number },
): ColumnInput {
  const column: Cell[] = [];
  let at = 0;
  for (const piece of pieces) {
    const first = Math.max(rows.row - at, 0);
    const end = Math.min(rows.end - at, piece.length);
    const isAll = end - first === rows.end - rows.row;
    if (isAll && (piece instanceof Float64Array || piece instanceof BigInt64Array) && fits(variable, piece))
      return piece.subarray(first, end);
    for (let i = first; i < end; i++) column.push(cellOf(variable, piece[i], rows.rowsBefore + at + i));
    at += piece.length;
  }
  if (column.length < rows.end - rows.row)
    throw new InputError(`The Parquet input has fewer values of "${variable.name}" than it says.`);
  return column;
}

function fits({ valueType }: Variable, piece: Float64Array | BigInt64Array): boolean {
  return valueType === (piece instanceof Float64Array ? ValueType.FLOAT64 : ValueType.INT64);
}

function cellOf(variable: Variable, value: unknown, row: number): Cell {
  if (value === undefined || value === null) return null;
  const { valueType, name } = variable;
  if (typeof value === 'boolean' && valueType === ValueType.BOOL) return value;
  if (typeof value === 'string' && valueType === ValueType.STRING) {
    if (isStorable(value)) return value;
    throw new InputError(`Row ${row} of "${name}" has ${textFault(value)}.`);
  }
  const exact = typeof value === 'number' || typeof value === 'bigint' ? exactNumber(variable, value) : undefined;
  if (exact !== undefined) return exact;
  throw new InputError(`Row ${row} of "${name}" is ${describe(value)}; the variable is ${ValueType[valueType]}.`);
}

function describe(value: unknown): string {
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'
    ? String(value)
    : `a ${typeof value}`;
}
