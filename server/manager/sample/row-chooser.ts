import type { Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import type { Batch } from '../../rows/batch.js';
import { numbersIn } from '../../rows/best.js';
import { Feasibility, type Numbers } from '../../rows/front/feasibility.js';
import { objectivesOf, readPoint, type Objective } from '../../rows/front/objectives.js';
import { paretoFront, type ParetoFront } from '../../rows/front/pareto-front.js';

/** Rows that stand for all of a result; see RowSample in the contract. */
export interface ChosenRows {
  /** Their numbers, ascending. */
  readonly rows: Float64Array;
  /** Rows on the Pareto front, as far as it was found. */
  readonly frontRowCount: number;
  readonly isFrontExact: boolean;
  /** Of these, the rows that were chosen. */
  readonly sentFrontRowCount: number;
}

/** Shares of a sample: half of it for the front, a quarter each for improvements and for columns' ends. */
const FRONT_SHARE = 2;
const OTHER_SHARE = 4;

/** So many rows, and values of them, are looked at between two steps: each may have to be compared with thousands. */
const ROWS_PER_STEP = 256;
const VALUES_PER_STEP = 65_536;

/** A column's smallest and largest value so far, and where they are. */
interface Ends {
  low: number;
  lowRow: number;
  high: number;
  highRow: number;
}

/** A batch that rows are taken from, as numbers. */
interface LookedAt {
  readonly columns: readonly Numbers[];
  readonly objectives: readonly Numbers[];
  readonly feasible: Uint8Array;
}

/** Goes over all rows of a result once, in order, and then knows which ones stand for it. */
export class RowChooser {
  private readonly feasibility: Feasibility;
  private readonly objectives: readonly Objective[];
  private readonly front: ParetoFront;
  private readonly point: Float64Array;
  /** Of each objective, smaller being better. */
  private readonly best: Float64Array;
  private readonly ends: readonly Ends[];
  private improvements: number[] = [];

  /** `variables`: those of the columns that it is given, none of them strings. */
  constructor(
    private readonly variables: readonly Variable[],
    private readonly rowCount: number,
    private readonly rowsMax: number,
  ) {
    this.feasibility = new Feasibility(variables);
    this.objectives = objectivesOf(variables);
    this.front = paretoFront(this.objectives.length, rowsMax);
    this.point = new Float64Array(this.objectives.length);
    this.best = new Float64Array(this.objectives.length).fill(Infinity);
    const none = { low: Infinity, lowRow: -1, high: -Infinity, highRow: -1 };
    this.ends = variables.slice(0, Math.floor(rowsMax / OTHER_SHARE / 2)).map(() => ({ ...none }));
  }

  /**
   * Takes a batch; all of them, in order, over time. At each step, of a few milliseconds at most, others may have their turn; no
   * other batch is to be added before the end.
   */
  *add(batch: Batch): Generator<void, void> {
    const { columns, objectives, feasible } = this.lookAt(batch);
    yield;
    const rowsPerStep = Math.max(1, Math.min(ROWS_PER_STEP, Math.floor(VALUES_PER_STEP / columns.length)));
    for (let from = 0; from < batch.rowCount; from += rowsPerStep) {
      const to = Math.min(from + rowsPerStep, batch.rowCount);
      this.ends.forEach((ends, c) => extend(ends, columns[c] as Numbers, from, to, batch.firstRow));
      for (let row = from; objectives.length > 0 && row < to; row++) {
        if (feasible[row] === 0) continue;
        this.addFeasible(objectives, row, batch.firstRow + row);
        if (this.front.isDue) yield* this.front.settling();
      }
      yield;
    }
  }

  private lookAt(batch: Batch): LookedAt {
    const columns = this.variables.map((_, index) => numbersIn(batch, this.variables, index));
    const feasible = this.feasibility.of(batch.rowCount, (index) => columns[index] as Numbers);
    return { columns, objectives: this.objectives.map(({ index }) => columns[index] as Numbers), feasible };
  }

  /** The rows that were chosen of all that were added; steps as of `add`. */
  *choose(): Generator<void, ChosenRows> {
    yield* this.front.settling();
    const front = this.front.rows().rows;
    const sentFront = evenly(front, Math.floor(this.rowsMax / FRONT_SHARE));
    yield;
    const improvements = this.improvements.slice(-Math.floor(this.rowsMax / OTHER_SHARE));
    const ends = this.ends.flatMap(({ lowRow, highRow }) => [lowRow, highRow]).filter((row) => row >= 0);
    const telling = ascending([sentFront, improvements, ends]);
    yield;
    const others = evenRows(this.rowCount, Math.min(this.rowsMax - telling.length, this.rowCount));
    yield;
    return {
      rows: ascending([telling, others]),
      frontRowCount: front.length,
      isFrontExact: this.front.isExact,
      sentFrontRowCount: sentFront.length,
    };
  }

  private addFeasible(objectives: readonly Numbers[], row: number, rowNumber: number): void {
    const { point, best } = this;
    readPoint(this.objectives, objectives, row, point);
    this.front.add(rowNumber, point);
    let isImprovement = false;
    for (let i = 0; i < point.length; i++) {
      if (!((point[i] as number) < (best[i] as number))) continue;
      best[i] = point[i] as number;
      isImprovement = true;
    }
    if (!isImprovement) return;
    this.improvements.push(rowNumber);
    // A run may improve with each of its rows.
    if (this.improvements.length > this.rowsMax)
      this.improvements = this.improvements.slice(-this.rowsMax / OTHER_SHARE);
  }
}

function extend(ends: Ends, { values, present }: Numbers, from: number, to: number, firstRow: number): void {
  for (let row = from; row < to; row++) {
    if (present?.[row] === 0) continue;
    const value = values[row] as number;
    if (value < ends.low) [ends.low, ends.lowRow] = [value, firstRow + row];
    if (value > ends.high) [ends.high, ends.highRow] = [value, firstRow + row];
  }
}

/** At most `count` of them, evenly spread, the first and the last among them. */
function evenly(rows: Float64Array, count: number): Float64Array {
  if (rows.length <= count) return rows;
  const places = evenRows(rows.length, count);
  return places.map((place) => rows[place] as number);
}

/** So many numbers of 0 to before `end`, evenly spread, the first and the last among them. */
function evenRows(end: number, count: number): Float64Array {
  const rows = new Float64Array(count);
  for (let i = 0; i < count; i++) rows[i] = count > 1 ? Math.floor((i * (end - 1)) / (count - 1)) : 0;
  return rows;
}

/** All of them, each once. */
function ascending(parts: readonly ArrayLike<number>[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let from = 0;
  for (const part of parts) {
    all.set(part, from);
    from += part.length;
  }
  all.sort();
  let count = 0;
  for (let i = 0; i < all.length; i++) if (i === 0 || all[i] !== all[count - 1]) all[count++] = all[i] as number;
  return all.slice(0, count);
}
