import { ValueType, VariableRole, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { RowClass } from '../../../server/rows/front/row-classes.js';
import { boxOf, signedBox, type HypervolumeBox } from '../../../server/rows/front/hypervolume-box.js';
import type { PlotRows } from '../plots/plot-rows.js';
import type { PlotColumn } from '../rows/plot-columns.js';

/** What some runs have in common, by the names of their variables. */
export interface Shared {
  /** Number columns of all runs that have one role, unit and direction, as the first run has them. */
  readonly columns: readonly Variable[];
  /** Of them the objectives. */
  readonly objectives: readonly Variable[];
  /** Names that not every run has, or has in the same way, and which runs lack them. */
  readonly others: readonly { readonly name: string; readonly why: string }[];
}

/** What the problems of runs have in common. */
export function sharedOf(problems: readonly (readonly Variable[])[], keys: readonly string[]): Shared {
  const names = new Set(problems.flatMap((variables) => variables.map(({ name }) => name)));
  const columns: Variable[] = [];
  const others: { name: string; why: string }[] = [];
  for (const name of names) {
    const found = problems.map((variables) => variables.find((variable) => variable.name === name));
    const why = differenceOf(found, keys);
    const [first] = found;
    if (why !== undefined || first === undefined) others.push({ name, why: why ?? '' });
    else if (first.valueType !== ValueType.STRING) columns.push(first);
  }
  return { columns, objectives: columns.filter(({ role }) => role === VariableRole.OBJECTIVE), others };
}

function differenceOf(found: readonly (Variable | undefined)[], keys: readonly string[]): string | undefined {
  const lacking = keys.filter((_, i) => found[i] === undefined);
  if (lacking.length > 0) return `not in ${lacking.join(' and ')}`;
  const differs = (of: (variable: Variable) => unknown) => new Set(found.map((one) => one && of(one))).size > 1;
  if (differs(({ role }) => role)) return 'different roles';
  if (differs(({ unit }) => unit)) return 'different units';
  if (differs(({ direction }) => direction)) return 'minimized in one and maximized in another';
  if (differs(({ valueType }) => valueType === ValueType.STRING)) return 'text in one and numbers in another';
  return undefined;
}

/** A row of several runs that are plotted together. */
export interface JointRows extends PlotRows {
  /** Of each row: its place in its own run. */
  readonly rowsOfRuns: Uint32Array;
}

/** The fronts of runs, or all their feasible rows, behind each other: the class of a row is its run's place. */
export function jointRows(runs: readonly PlotRows[], columns: readonly Variable[], isFrontOnly: boolean): JointRows {
  const chosen = runs.map(({ classes }) => {
    const isWanted = (one: number) => (isFrontOnly ? one === RowClass.FRONT : one !== RowClass.INFEASIBLE);
    return Uint32Array.from(classes.keys()).filter((row) => isWanted(classes[row] as number));
  });
  const counts = chosen.map((rows) => rows.length);
  const rowCount = counts.reduce((sum, count) => sum + count, 0);
  const classes = new Uint8Array(rowCount);
  const rowsOfRuns = new Uint32Array(rowCount);
  let at = 0;
  chosen.forEach((rows, run) => {
    classes.fill(run, at, at + rows.length);
    rowsOfRuns.set(rows, at);
    at += rows.length;
  });
  const joint = columns.map((variable, index): PlotColumn => {
    const values = new Float64Array(rowCount);
    let from = 0;
    chosen.forEach((rows, run) => {
      const column = runs[run]?.columns.find(({ name }) => name === variable.name)?.values;
      for (const row of rows) values[from++] = column?.[row] ?? NaN;
    });
    const { name, unit, role } = variable;
    return { index, name, unit, role, variable, values, labels: undefined };
  });
  return { rowCount, columns: joint, classes, counts, rowsOfRuns };
}

/** The box around the fronts of all runs, for hypervolumes that can be compared; undefined where it has no extent. */
export function commonBox(
  { columns }: JointRows,
  objectives: readonly Variable[],
  signs: readonly number[],
): HypervolumeBox | undefined {
  const values = objectives.map(({ name }, k) => {
    const column = columns.find((one) => one.name === name)?.values ?? new Float64Array(0);
    return column.map((value) => value * (signs[k] ?? 1));
  });
  const box = boxOf(values);
  return box && signedBox(box, signs);
}

/** Values of runs on one x axis: a line that has none at a place is NaN there. */
export function onCommonAxis(lines: readonly { readonly at: Float64Array; readonly values: Float64Array }[]): {
  x: Float64Array;
  values: Float64Array[];
} {
  const x = Float64Array.from(new Set(lines.flatMap(({ at }) => Array.from(at)))).sort();
  const places = new Map(Array.from(x, (value, i) => [value, i]));
  const values = lines.map((line) => {
    const spread = new Float64Array(x.length).fill(NaN);
    line.at.forEach((value, i) => (spread[places.get(value) ?? 0] = line.values[i] ?? NaN));
    return spread;
  });
  return { x, values };
}
