import { readFile } from 'node:fs/promises';
import { fromJson, toJson, type JsonValue } from '@bufbuild/protobuf';
import { ProblemSchema, ValueType, type Problem, type Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { valueAt, type LoadedColumn } from '../typescript/index.js';
import { formatFloat64, isStorable, parseFloat64, parseInt64, textFault, type Cell } from './cells.js';
import { InputError } from './csv.js';

/** A table as JSON: `{ "problem": {…}, "columns": { "x1": [1, null, "NaN"] } }`; int64 beyond 2^53 as text. */
export interface JsonTable {
  readonly problem: Problem | undefined;
  rows(problem: Problem): AsyncGenerator<Cell[]>;
}

/** Reads a table. InputError. */
export async function readJsonTable(path: string): Promise<JsonTable> {
  try {
    const document = JSON.parse(await readFile(path, 'utf8')) as {
      problem?: JsonValue;
      columns?: Record<string, unknown[]>;
    };
    const problem = document.problem === undefined ? undefined : fromJson(ProblemSchema, document.problem);
    return { problem, rows: (of) => rowsOf(document.columns ?? {}, of) };
  } catch (error) {
    throw new InputError(`${path} is not a table in JSON: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

async function* rowsOf(columns: Record<string, unknown[]>, problem: Problem): AsyncGenerator<Cell[]> {
  const { variables } = problem;
  const extra = Object.keys(columns).find((name) => !variables.some((variable) => variable.name === name));
  if (extra !== undefined) throw new InputError(`The table has the column "${extra}", which the problem has not.`);
  const lengths = variables.map((variable) => {
    const length = Object.hasOwn(columns, variable.name) ? columns[variable.name]?.length : undefined;
    if (length === undefined)
      throw new InputError(`The table has no column "${variable.name}", which the problem has.`);
    return length;
  });
  if (new Set(lengths).size > 1) throw new InputError('The columns of the table have different lengths.');
  for (let row = 0; row < (lengths[0] ?? 0); row++) {
    yield variables.map((variable) => fromJsonValue(variable, columns[variable.name]?.[row], row));
  }
}

function fromJsonValue(variable: Variable, value: unknown, row: number): Cell {
  if (value === null || value === undefined) return null;
  const { valueType } = variable;
  if (typeof value === 'number' && valueType === ValueType.FLOAT64) return value;
  if (typeof value === 'boolean' && valueType === ValueType.BOOL) return value;
  if (typeof value === 'string' && valueType === ValueType.STRING) {
    if (isStorable(value)) return value;
    throw new InputError(`Row ${row} of "${variable.name}" has ${textFault(value)}.`);
  }
  if (typeof value === 'number' && valueType === ValueType.INT64 && Number.isSafeInteger(value)) return BigInt(value);
  const integer = typeof value === 'string' && valueType === ValueType.INT64 ? parseInt64(value) : undefined;
  if (integer !== undefined) return integer;
  const special = typeof value === 'string' && valueType === ValueType.FLOAT64 ? parseFloat64(value) : undefined;
  if (special !== undefined) return special;
  throw new InputError(
    `Row ${row} of "${variable.name}" is ${JSON.stringify(value)}; the variable is ${ValueType[valueType]}.`,
  );
}

/** The problem of a table as JSON text. */
export function problemJson(problem: Problem): string {
  return JSON.stringify(toJson(ProblemSchema, problem));
}

/** The values of a column as JSON text. */
export function columnJson(column: LoadedColumn): string {
  const values = Array.from({ length: column.values.length }, (_, row) => {
    const value = valueAt(column, row);
    if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? String(value) : `"${value}"`;
    if (typeof value !== 'number') return JSON.stringify(value);
    if (Number.isFinite(value)) return formatFloat64(value);
    return Number.isNaN(value) ? '"NaN"' : value > 0 ? '"Infinity"' : '"-Infinity"';
  });
  return `[${values.join(',')}]`;
}
