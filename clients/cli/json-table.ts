import { readFile } from 'node:fs/promises';
import { toJson, type JsonValue } from '@bufbuild/protobuf';
import { ProblemSchema, type Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import { valueAt, type LoadedColumn } from '../typescript/index.js';
import { formatFloat64, toColumns, type Cell } from './cells.js';
import { InputError } from './input-error.js';
import { fromJsonValue } from './json-cells.js';
import { problemFrom } from './problem-json.js';
import type { KnownRows, Part, RowSource } from './row-source.js';

const ROWS_PER_PART = 1000;

/** A table as JSON: `{ "problem": {…}, "columns": { "x1": [1, null, "NaN"] } }`; int64 beyond 2^53 as text. InputError. */
export async function readJsonTable(path: string): Promise<RowSource> {
  const text = await readFile(path, 'utf8');
  try {
    const document = JSON.parse(text) as {
      problem?: JsonValue;
      columns?: Record<string, unknown[]>;
    };
    const problem = document.problem === undefined ? undefined : problemFrom(document.problem);
    return {
      problem: () => Promise.resolve(problem),
      parts: (of, known) => partsOf(document.columns ?? {}, of, known),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`The problem in ${path} is none: ${error.message}`);
    throw new InputError(`${path} is not a table in JSON: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

async function* partsOf(columns: Record<string, unknown[]>, problem: Problem, known: KnownRows): AsyncGenerator<Part> {
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
  const rowCount = lengths[0] ?? 0;
  const rowAt = (row: number): Cell[] =>
    variables.map((variable) => fromJsonValue(variable, columns[variable.name]?.[row], `Row ${row}`));
  for (let row = known.take(rowCount); row < rowCount; row += ROWS_PER_PART) {
    const length = Math.min(ROWS_PER_PART, rowCount - row);
    yield toColumns(
      problem,
      Array.from({ length }, (_, i) => rowAt(row + i)),
    );
  }
}

/** The problem of a table as JSON text. */
export function problemJson(problem: Problem): string {
  return JSON.stringify(toJson(ProblemSchema, problem));
}

/** The values of a column as JSON text. */
export function columnJson(column: LoadedColumn): string {
  return `[${Array.from({ length: column.values.length }, (_, row) => cellJson(column, row)).join(',')}]`;
}

/** A value as JSON text; as protobuf JSON has it, where JSON has no word for it or its readers would round it. */
export function cellJson(column: LoadedColumn, row: number): string {
  const value = valueAt(column, row);
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? String(value) : `"${value}"`;
  if (typeof value !== 'number') return JSON.stringify(value);
  if (Number.isFinite(value)) return formatFloat64(value);
  return Number.isNaN(value) ? '"NaN"' : value > 0 ? '"Infinity"' : '"-Infinity"';
}
