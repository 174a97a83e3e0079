import { Direction, VariableRole, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { InputError } from '../input-error.js';
import { fit } from '../terminal/fit.js';
import { chart, KINDS, markOf, type ChartSize, type Kind, type Series } from './chart.js';
import type { RunRows } from './run-rows.js';
import { counted } from '../words.js';

/** What is plotted: two columns against each other, or how the run got better. */
export type View = { readonly x: Variable; readonly y: Variable; readonly isWhole: boolean } | 'convergence';

/** What was asked for, else the first two objectives, else the course of the only one. InputError. */
export function viewOf(
  variables: readonly Variable[],
  wanted: { readonly x?: string; readonly y?: string; readonly convergence?: boolean; readonly all?: boolean },
): View {
  const objectives = variables.filter(({ role }) => role === VariableRole.OBJECTIVE);
  const named = (name: string) => {
    const found = variables.find((variable) => variable.name === name);
    if (found !== undefined) return found;
    throw new InputError(`There is no column "${name}". It has ${variables.map((one) => one.name).join(', ')}.`);
  };
  if (wanted.convergence !== true && (wanted.x !== undefined || wanted.y !== undefined || objectives.length >= 2)) {
    const x = wanted.x === undefined ? objectives[0] : named(wanted.x);
    const y = wanted.y === undefined ? objectives.find((one) => one !== x) : named(wanted.y);
    if (x !== undefined && y !== undefined) return { x, y, isWhole: wanted.all === true };
    throw new InputError('The problem has too few objectives to choose from: name both --x and --y.');
  }
  if (objectives.length > 0) return 'convergence';
  throw new InputError('The problem has no objective: name two columns by --x and --y.');
}

/** The columns that a view needs. */
export function columnsOf(variables: readonly Variable[], view: View): string[] {
  const needed = new Set(
    variables
      .filter(({ role }) => role !== VariableRole.DESIGN_VARIABLE && role !== VariableRole.OBSERVABLE)
      .map(({ name }) => name),
  );
  if (view !== 'convergence') needed.add(view.x.name).add(view.y.name);
  return variables.map(({ name }) => name).filter((name) => needed.has(name));
}

/** The plot and its legend, as lines. InputError for a column of texts. */
export function drawRun(
  title: string,
  rows: RunRows,
  view: View,
  variables: readonly Variable[],
  size: ChartSize,
): string[] {
  return view === 'convergence' ? drawConvergence(title, rows, variables, size) : drawScatter(title, rows, view, size);
}

function drawScatter(
  title: string,
  rows: RunRows,
  { x, y, isWhole }: Exclude<View, string>,
  size: ChartSize,
): string[] {
  const [xs, ys] = [numbersOf(rows, x), numbersOf(rows, y)];
  const kinds = rows.kinds();
  const isShown = isWhole ? () => true : rows.nearFront(x.name, y.name);
  const isPoint = (row: number) => Number.isFinite(xs[row]) && Number.isFinite(ys[row]);
  const outside = kinds.filter((_, row) => isPoint(row) && !isShown(row)).length;
  const series = KINDS.map((kind): Series => {
    const of = kinds.flatMap((one, row) => (one === kind && isPoint(row) && isShown(row) ? [row] : []));
    return { kind, xs: of.map((row) => xs[row] as number), ys: of.map((row) => ys[row] as number) };
  });
  // Of all rows, as the page counts them: what lies outside, or has no value, is of its kind as well.
  const counts = KINDS.map((kind) => [kind, kinds.filter((one) => one === kind).length] as const);
  const legend = counts
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${markOf(kind, size.isAscii)} ${wordOf(kind, rows)} ${count}`);
  const drawn = chart(
    series,
    { x: titleOf(x, size.isAscii), y: titleOf(y, size.isAscii) },
    { ...size, lines: size.lines - 2 },
  );
  return [
    fit(`${title}: ${counted(rows.rowCount, 'row')}`, size.columns).trimEnd(),
    ...drawn,
    [...legend, ...(outside > 0 ? [`${outside} outside: --all`] : [])].join('  '),
  ];
}

function wordOf(kind: Kind, rows: RunRows): string {
  if (kind === 'front') return 'Pareto front';
  return kind === 'dominated' && rows.objectives.length < 2 ? 'feasible' : kind;
}

function drawConvergence(title: string, rows: RunRows, variables: readonly Variable[], size: ChartSize): string[] {
  const { evaluations, values } = rows.convergence(size.columns * 2);
  const [only] = rows.objectives.map(({ index }) => variables[index]);
  const isOne = rows.objectives.length === 1 && only !== undefined;
  const y = isOne
    ? `best ${titleOf(only, size.isAscii)}`
    : `hypervolume of ${rows.objectives.length} objectives, share of the box around the front`;
  const series: Series[] = [{ kind: 'line', xs: evaluations, ys: values }];
  const last = values.at(-1);
  const told = last === undefined ? 'no feasible row yet' : `now ${Number(last.toPrecision(8))}`;
  const drawn = chart(series, { x: 'evaluation', y }, { ...size, lines: size.lines - 2 });
  return [
    fit(`${title}: ${counted(rows.rowCount, 'row')}`, size.columns).trimEnd(),
    ...drawn,
    fit(told, size.columns).trimEnd(),
  ];
}

function numbersOf(rows: RunRows, { name }: Variable): readonly number[] {
  const values = rows.valuesOf(name);
  if (values === undefined) throw new InputError(`"${name}" has texts, which can not be plotted. Name another column.`);
  return values;
}

/** Name, unit, and which way it gets better. */
function titleOf({ name, unit, direction }: Variable, isAscii: boolean): string {
  const [down, up] = isAscii ? ['min', 'max'] : ['↓ min', '↑ max'];
  const way = direction === Direction.MINIMIZE ? ` ${down}` : direction === Direction.MAXIMIZE ? ` ${up}` : '';
  return `${name}${unit === '' ? '' : ` [${unit}]`}${way}`;
}
