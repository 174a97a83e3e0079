import { Direction, ValueType, VariableRole, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import type { RunColumn, TextColumn } from './columns.js';
import type { RunRows } from './run-rows.js';

/** A column as plots take it: numbers, those of a categorical column being places in `labels`. */
export interface PlotColumn {
  /** Place in the problem's variables. */
  readonly index: number;
  readonly name: string;
  readonly unit: string;
  readonly role: VariableRole;
  readonly variable: Variable;
  /** NaN where there is no value. */
  readonly values: Float64Array;
  /** Of a categorical column: what the numbers stand for. */
  readonly labels: readonly string[] | undefined;
}

/** A string column with more different values than this is no axis. */
const LABELS_MAX = 64;

/** The columns that can be plotted, in the order of the problem; strings only where they have few different values. */
export function plotColumnsOf({ columns, rowCount }: RunRows): PlotColumn[] {
  return columns.flatMap((column, index) => plotColumn(column, index, rowCount) ?? []);
}

function plotColumn(column: RunColumn, index: number, rowCount: number): PlotColumn | undefined {
  const { variable } = column;
  const { name, unit, role } = variable;
  if (column.kind === 'number') {
    const labels = variable.valueType === ValueType.BOOL ? ['false', 'true'] : undefined;
    return { index, name, unit, role, variable, values: column.values, labels };
  }
  const coded = codesOf(column, variable.categories, rowCount);
  return coded && { index, name, unit, role, variable, ...coded };
}

function codesOf(
  column: TextColumn,
  categories: readonly string[],
  rowCount: number,
): { values: Float64Array; labels: string[] } | undefined {
  const labels = [...categories];
  const codes = new Map(labels.map((label, code) => [label, code]));
  const values = new Float64Array(rowCount).fill(NaN);
  for (let row = 0; row < rowCount; row++) {
    const text = column.text(row);
    if (text === undefined) continue;
    let code = codes.get(text);
    if (code === undefined) {
      code = labels.length;
      if (code === LABELS_MAX) return undefined;
      labels.push(text);
      codes.set(text, code);
    }
    values[row] = code;
  }
  return { values, labels };
}

/** `f2 [in]`: how an axis is called. */
export function titleOf({ name, unit }: Pick<PlotColumn, 'name' | 'unit'>): string {
  return unit === '' ? name : `${name} [${unit}]`;
}

/** 1 where smaller is better, −1 where larger is, 0 where neither. */
export function directionOf({ role, variable }: Pick<PlotColumn, 'role' | 'variable'>): 1 | 0 | -1 {
  if (role !== VariableRole.OBJECTIVE) return 0;
  return variable.direction === Direction.MAXIMIZE ? -1 : 1;
}

/** The column that says in which generation a row was evaluated: an observable that is called so. */
export function generationOf(columns: readonly PlotColumn[]): PlotColumn | undefined {
  return columns.find(
    ({ role, name, labels }) =>
      role === VariableRole.OBSERVABLE && labels === undefined && /^(generation|gen|iteration|iter|epoch)s?$/i.test(name),
  );
}
