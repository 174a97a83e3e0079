import type { Problem, Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ValueType } from '../../proto/gen/optistore/v1/problem_pb.js';
import { STRING_BYTES_MAX } from '../../server/limits.js';
import { valueAt, type ColumnInput, type LoadedColumn } from '../typescript/index.js';

/** A value of a table's cell; null is missing. */
export type Cell = number | bigint | boolean | string | null;

const SPECIAL = new Map([
  ['nan', NaN],
  ['inf', Infinity],
  ['infinity', Infinity],
]);
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
/** Fortran's double precision, `1.0D+00`, and its exponents of three digits, for whose letter there is no room: `1.0-310`. */
const FORTRAN_NUMBER = /^([+-]?(?:\d+\.\d*|\.\d+|\d+(?=d)))(?:d([+-]?\d+)|([+-]\d{3}))$/i;
const INTEGER = /^[+-]?\d+$/;
const BOOLS = new Map([
  ['true', true],
  ['t', true],
  ['1', true],
  ['false', false],
  ['f', false],
  ['0', false],
]);

/** A cell's text as a value of the variable; an empty cell is missing unless it was quoted. RangeError that says what was expected. */
export function parseCell(variable: Variable, text: string, isQuoted: boolean): Cell {
  if (variable.valueType === ValueType.STRING) {
    if (!isStorable(text)) throw new RangeError(`column "${variable.name}" has ${textFault(text)}`);
    return text === '' && !isQuoted ? null : text;
  }
  const trimmed = text.trim();
  if (trimmed === '') return null;
  switch (variable.valueType) {
    case ValueType.FLOAT64:
      return parseFloat64(trimmed) ?? refuse(variable, text, 'a number');
    case ValueType.INT64:
      return parseInt64(trimmed) ?? refuse(variable, text, 'an integer of 64 bits');
    case ValueType.BOOL:
      return BOOLS.get(trimmed.toLowerCase()) ?? refuse(variable, text, 'true or false');
    case ValueType.UNSPECIFIED:
      return refuse(variable, text, 'a variable with a type');
    default:
      return variable.valueType satisfies never;
  }
}

function refuse(variable: Variable, text: string, expected: string): never {
  throw new RangeError(`column "${variable.name}" has ${JSON.stringify(text)} where ${expected} was expected`);
}

/** Text as a double; undefined where it is none. */
export function parseFloat64(text: string): number | undefined {
  if (NUMBER.test(text)) return Number(text);
  const [, digits, exponent, bareExponent] = FORTRAN_NUMBER.exec(text) ?? [];
  if (digits !== undefined) return Number(`${digits}e${exponent ?? bareExponent ?? '0'}`);
  const special = SPECIAL.get(text.replace(/^[+-]/, '').toLowerCase());
  return special === undefined ? undefined : text.startsWith('-') ? -special : special;
}

/** Whether a text fits a cell of a string variable. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && Buffer.byteLength(text) <= STRING_BYTES_MAX;
}

/** Says what is wrong with a text that is not storable. */
export function textFault(text: string): string {
  return text.isWellFormed()
    ? `a text of ${Buffer.byteLength(text)} bytes where at most ${STRING_BYTES_MAX} were expected`
    : 'a text that is not valid Unicode: half of a surrogate pair';
}

/** Text as an integer of 64 bits; undefined where it is none. */
export function parseInt64(text: string): bigint | undefined {
  if (!INTEGER.test(text)) return undefined;
  const value = BigInt(text.replace(/^\+/, ''));
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

/** A number of some input as one of the variable; undefined where it can't be that exactly. */
export function exactNumber({ valueType }: Variable, value: number | bigint): number | bigint | undefined {
  if (valueType === ValueType.FLOAT64)
    return typeof value === 'number' || BigInt(Number(value)) === value ? Number(value) : undefined;
  if (valueType !== ValueType.INT64 || (typeof value === 'number' && !Number.isSafeInteger(value))) return undefined;
  const integer = BigInt(value);
  return BigInt.asIntN(64, integer) === integer ? integer : undefined;
}

/** A double as text that gives the same double again: the shortest, of at most 17 significant digits. */
export function formatFloat64(value: number): string {
  if (Object.is(value, -0)) return '-0';
  if (value === Infinity) return 'inf';
  if (value === -Infinity) return '-inf';
  return String(value);
}

/** A loaded value as a cell of CSV: bare and empty where it is missing. */
export function formatCell(column: LoadedColumn, row: number): string {
  const value = valueAt(column, row);
  if (value === null) return '';
  if (typeof value === 'number') return formatFloat64(value);
  if (typeof value !== 'string') return String(value);
  // Quoted when empty, to tell it from a missing one, and when CSV needs it.
  return value === '' || /[",\r\n]|^\s|\s$/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/** Rows of cells as columns by name, as a writer takes them. */
export function toColumns(problem: Problem, rows: readonly Cell[][]): Record<string, ColumnInput> {
  return Object.fromEntries(problem.variables.map((variable, i) => [variable.name, rows.map((row) => row[i] ?? null)]));
}
