import {
  ValueType,
  valueAt,
  type ColumnInput,
  type LoadedBatch,
  type LoadedColumn,
} from '../../clients/typescript/index.js';
import type { JsonObject } from '@bufbuild/protobuf';
import type { ColumnType, JsonColumn } from './columns.js';

/** The value of one row of a column, as a column. */
export function one(type: ColumnType, values: readonly JsonColumn['values'][number][], row: number): JsonColumn {
  return { type, values: [values[row] ?? null] };
}

/** Columns of a command as the client takes them. */
export function inputOf(columns: Readonly<Record<string, JsonColumn>>): Record<string, ColumnInput> {
  return Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, columnInput(column)]));
}

function columnInput({ type, values }: JsonColumn): ColumnInput {
  if (type === 'int64') return values.map((value) => (value === null ? null : BigInt(value as string)));
  if (type !== 'float64') return values as (boolean | string | null)[];
  if (values.includes(null)) return values.map((value) => (value === null ? null : Number(value)));
  const bits = new DataView(new ArrayBuffer(values.length * 8));
  for (const [row, value] of values.entries())
    if (typeof value === 'string' && value.startsWith('0x')) bits.setBigUint64(row * 8, BigInt(value), true);
    else bits.setFloat64(row * 8, Number(value), true);
  return new Float64Array(bits.buffer);
}

/** Loaded columns as an answer has them. */
export function jsonColumns(columns: Readonly<Record<string, LoadedColumn>>): JsonObject {
  return Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, jsonColumn(column)]));
}

/** Batches that follow each other, as an answer has them: their columns, and which rows these are where their numbers tell. */
export function jsonOf(batches: readonly LoadedBatch[]): { columns: JsonObject; row_numbers?: number[] } {
  const columns: Record<string, JsonColumn> = {};
  for (const batch of batches)
    for (const [name, column] of Object.entries(batch.columns)) {
      const part = jsonColumn(column);
      (columns[name] ??= { type: part.type, values: [] }).values.push(...part.values);
    }
  const numbers = batches.flatMap(({ rowNumbers }) => (rowNumbers === undefined ? [] : [...rowNumbers]));
  return { columns, ...(numbers.length > 0 && { row_numbers: numbers }) };
}

function jsonColumn(column: LoadedColumn): JsonColumn {
  const type = ValueType[column.variable.valueType].toLowerCase() as ColumnType;
  const values = Array.from({ length: column.values.length }, (_, row) => {
    const value = valueAt(column, row);
    if (typeof value === 'bigint') return String(value);
    return typeof value === 'number' ? jsonNumber(column.values as Float64Array, row) : value;
  });
  return { type, values };
}

function jsonNumber(values: Float64Array, row: number): string | number {
  const value = values[row] as number;
  if (Object.is(value, -0)) return '-0.0';
  if (Number.isFinite(value)) return value;
  const bits = new DataView(values.buffer, values.byteOffset).getBigUint64(row * 8, true);
  const isPlain = !Number.isNaN(value) || bits === 0x7ff8000000000000n;
  return isPlain ? String(value) : `0x${bits.toString(16).padStart(16, '0')}`;
}
