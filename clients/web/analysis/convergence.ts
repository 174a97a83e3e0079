import { boxOf, shareOf, signedBox, type HypervolumeBox } from '../../../server/rows/front/hypervolume-box.js';
import { RowClass, type ColumnsOf } from '../../../server/rows/front/row-classes.js';
import type { Goals } from '../../../server/rows/front/goals.js';

/** How an objective went. One value a step; NaN where there is none yet. */
export interface ObjectiveConvergence {
  readonly index: number;
  /** Best feasible value so far. */
  readonly best: Float64Array;
  /** Quartiles of the feasible values of the generation, or of the last evaluations. */
  readonly lower: Float64Array;
  readonly median: Float64Array;
  readonly upper: Float64Array;
}

/** How a run went, step by step. */
export interface Convergence {
  /** Index of the generation's column; undefined: a step is as many evaluations as any other. */
  readonly generation: number | undefined;
  /** The generation, or the number of evaluations, at which each step ends. */
  readonly at: Float64Array;
  readonly objectives: readonly ObjectiveConvergence[];
  /**
   * Share of the box from ideal to reference that the rows so far dominate; of four objectives and more an estimate. Undefined for one
   * objective, and where the front has no extent.
   */
  readonly hypervolume: Float64Array | undefined;
  /** The box, with objectives as they are, in the goals' order. */
  readonly ideal: readonly number[];
  readonly reference: readonly number[];
}

export interface ConvergenceQuestion {
  readonly goals: Goals;
  readonly rowCount: number;
  readonly classes: Uint8Array;
  /** Numbers of the rows in the result; undefined: from 0 on. */
  readonly rowNumbers: Float64Array | undefined;
  readonly generation: number | undefined;
  /** The box of the hypervolume, where it is that of several runs; otherwise it is taken of this run's front. */
  readonly box?: HypervolumeBox | undefined;
}

const STEPS_MAX = 200;
/** Evaluations that quartiles are told of, at least. */
const ROWS_TOGETHER = 40;
/** A hypervolume of three objectives and more is computed anew, or with 10,000 samples a point: it takes fewer steps, and fewer points. */
const VOLUME_STEPS_MAX = 50;
const ESTIMATED_POINTS_MAX = 20_000;

/** Best, quartiles and hypervolume by evaluation, or by generation. */
export function convergenceOf(question: ConvergenceQuestion, column: ColumnsOf): Convergence {
  const { goals, classes, generation } = question;
  const signs = goals.objectives.map(({ isMaximized }) => (isMaximized ? -1 : 1));
  const values = goals.objectives.map(({ index, isMaximized }) => signed(column(index), isMaximized));
  const steps = generation === undefined ? evaluationSteps(question) : generationSteps(question, column(generation));
  // A generation is a sample by itself; of evaluations one by one a quartile says nothing.
  const together = generation === undefined ? Math.ceil((ROWS_TOGETHER * steps.length) / question.rowCount) : 1;
  const box = question.box ? signedBox(question.box, signs) : boxOf(values, classes);
  return {
    generation,
    at: Float64Array.from(steps, ({ at }) => at),
    objectives: goals.objectives.map(({ index, isMaximized }, k) =>
      objectiveConvergence(index, isMaximized ? -1 : 1, values[k] as Float64Array, steps, classes, together),
    ),
    hypervolume: box && hypervolumes(values, steps, classes, box),
    ...(box === undefined ? { ideal: [], reference: [] } : signedBox(box, signs)),
  };
}

/** Rows that belong together, and where on the axis they end. */
interface Step {
  readonly at: number;
  readonly rows: ArrayLike<number>;
}

function evaluationSteps({ rowCount, rowNumbers }: ConvergenceQuestion): Step[] {
  const count = Math.min(STEPS_MAX, rowCount);
  return Array.from({ length: count }, (_, i) => {
    const from = Math.floor((i * rowCount) / count);
    const end = Math.floor(((i + 1) * rowCount) / count);
    const rows = Uint32Array.from({ length: end - from }, (_none, k) => from + k);
    return { at: (rowNumbers?.[end - 1] ?? end - 1) + 1, rows };
  });
}

function generationSteps({ rowCount }: ConvergenceQuestion, generations: Float64Array): Step[] {
  const rows = new Map<number, number[]>();
  for (let row = 0; row < rowCount; row++) {
    const generation = generations[row] as number;
    if (!Number.isFinite(generation)) continue;
    const before = rows.get(generation);
    if (before === undefined) rows.set(generation, [row]);
    else before.push(row);
  }
  return [...rows].map(([at, numbers]) => ({ at, rows: numbers })).sort((a, b) => a.at - b.at);
}

function objectiveConvergence(
  index: number,
  sign: 1 | -1,
  values: Float64Array,
  steps: readonly Step[],
  classes: Uint8Array,
  /** Steps whose rows are looked at for the quartiles. */
  together: number,
): ObjectiveConvergence {
  const empty = () => new Float64Array(steps.length).fill(NaN);
  const [best, lower, median, upper] = [empty(), empty(), empty(), empty()];
  let bestSoFar = NaN;
  const recent: Float64Array[] = [];
  steps.forEach(({ rows }, step) => {
    const own = Float64Array.from(
      Array.from(rows).filter((row) => classes[row] !== 0),
      (row) => values[row] as number,
    ).filter((value) => !Number.isNaN(value));
    for (const value of own) if (!(bestSoFar <= value)) bestSoFar = value;
    best[step] = sign * bestSoFar;
    recent.push(own);
    if (recent.length > together) recent.shift();
    const feasible = joined(recent).sort();
    lower[step] = sign * quantile(feasible, sign === 1 ? 0.25 : 0.75);
    median[step] = sign * quantile(feasible, 0.5);
    upper[step] = sign * quantile(feasible, sign === 1 ? 0.75 : 0.25);
  });
  return { index, best, lower, median, upper };
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const whole = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let from = 0;
  for (const part of parts) {
    whole.set(part, from);
    from += part.length;
  }
  return whole;
}

/** Between the two values around the place, as numpy's default; NaN of none. */
export function quantile(sorted: Float64Array, share: number): number {
  const place = (sorted.length - 1) * share;
  const below = sorted[Math.floor(place)] ?? NaN;
  const above = sorted[Math.ceil(place)] ?? NaN;
  // Equal infinities have no difference.
  return below === above ? below : below + (above - below) * (place - Math.floor(place));
}

/** So that smaller is better. */
function signed(values: Float64Array, isMaximized: boolean): Float64Array {
  return isMaximized ? values.map((value) => -value) : values;
}

/** As a share of the box. */
function hypervolumes(
  values: readonly Float64Array[],
  steps: readonly Step[],
  classes: Uint8Array,
  box: HypervolumeBox,
): Float64Array {
  const result = new Float64Array(steps.length).fill(NaN);
  const size = values.length;
  const volume = shareOf(box);
  const stride = size === 2 ? 1 : Math.ceil(steps.length / VOLUME_STEPS_MAX);
  const thinning = size < 4 ? 1 : Math.ceil(classes.length / ESTIMATED_POINTS_MAX);
  let points: number[] = [];
  steps.forEach(({ rows }, step) => {
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as number;
      const isTaken = classes[row] === RowClass.FRONT || (classes[row] === RowClass.DOMINATED && row % thinning === 0);
      for (let k = 0; isTaken && k < size; k++) points.push(values[k]?.[row] ?? NaN);
    }
    if (step % stride !== 0 && step !== steps.length - 1) return;
    volume.add(Float64Array.from(points));
    points = [];
    result[step] = volume.value;
  });
  return result;
}
