import { Direction, ValueType, VariableRole, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import type { NumberColumn, TextColumn } from './columns.js';
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
const TRUTH = ['false', 'true'];

/** The columns of a run that can be plotted; those of strings are read once, also while the run grows. */
export class PlotColumns {
  private readonly coded = new Map<number, CodedColumn>();

  /** In the order of the problem; strings only where they have few different values. */
  of({ columns, rowCount }: RunRows): PlotColumn[] {
    return columns.flatMap((column, index) => {
      if (column.kind === 'number') return [numberColumn(column, index)];
      const coded = this.coded.get(index) ?? new CodedColumn(column.variable.categories);
      this.coded.set(index, coded);
      return coded.upTo(column, rowCount) ? [textColumn(column, index, coded, rowCount)] : [];
    });
  }

  /** Rows were left out: all are read anew. */
  forget(): void {
    this.coded.clear();
  }
}

function numberColumn({ variable, values }: NumberColumn, index: number): PlotColumn {
  const { name, unit, role, valueType } = variable;
  return { index, name, unit, role, variable, values, labels: valueType === ValueType.BOOL ? TRUTH : undefined };
}

function textColumn({ variable }: TextColumn, index: number, coded: CodedColumn, rowCount: number): PlotColumn {
  const { name, unit, role } = variable;
  return { index, name, unit, role, variable, values: coded.codes.subarray(0, rowCount), labels: [...coded.labels] };
}

/** Strings as numbers, in the order of their categories and then of their first rows. */
class CodedColumn {
  readonly labels: string[];
  codes = new Float64Array(0);
  private readonly known: Map<string, number>;
  private done = 0;

  constructor(categories: readonly string[]) {
    this.labels = [...categories];
    this.known = new Map(categories.map((label, code) => [label, code]));
  }

  /** Reads the rows that are new; false once there are too many different values. */
  upTo(column: TextColumn, rowCount: number): boolean {
    if (rowCount > this.codes.length) {
      const grown = new Float64Array(Math.max(rowCount, this.codes.length * 2)).fill(NaN);
      grown.set(this.codes);
      this.codes = grown;
    }
    while (this.done < rowCount && this.labels.length <= LABELS_MAX) {
      const text = column.text(this.done);
      this.codes[this.done++] = text === undefined ? NaN : this.codeOf(text);
    }
    return this.labels.length <= LABELS_MAX;
  }

  private codeOf(text: string): number {
    const known = this.known.get(text);
    if (known !== undefined) return known;
    const code = this.labels.push(text) - 1;
    this.known.set(text, code);
    return code;
  }
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

/** Whether rows are ranked by anything. */
export function hasObjectives(columns: readonly Pick<Variable, 'role'>[]): boolean {
  return columns.some(({ role }) => role === VariableRole.OBJECTIVE);
}

/** The column that says in which generation a row was evaluated: an observable that is called so. */
export function generationOf(columns: readonly PlotColumn[]): PlotColumn | undefined {
  return columns.find(
    ({ role, name, labels }) =>
      role === VariableRole.OBSERVABLE &&
      labels === undefined &&
      /^(generation|gen|iteration|iter|epoch)s?$/i.test(name),
  );
}
