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

/** A column's smallest and largest value so far, and where they are. */
interface Ends {
  low: number;
  lowRow: number;
  high: number;
  highRow: number;
}

/** A batch that rows are taken from, as numbers. */
interface LookedAt {
  readonly batch: Batch;
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
  private looked: LookedAt | undefined;

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

  /** Takes rows of a batch, from one to before another; all rows of all batches, in order, over time. */
  add(batch: Batch, from: number, to: number): void {
    if (this.looked?.batch !== batch) this.looked = this.lookAt(batch);
    const { columns, objectives, feasible } = this.looked;
    this.ends.forEach((ends, c) => extend(ends, columns[c] as Numbers, from, to, batch.firstRow));
    if (objectives.length === 0) return;
    for (let row = from; row < to; row++)
      if (feasible[row] === 1) this.addFeasible(objectives, row, batch.firstRow + row);
  }

  private lookAt(batch: Batch): LookedAt {
    const columns = this.variables.map((_, index) => numbersIn(batch, this.variables, index));
    const feasible = this.feasibility.of(batch.rowCount, (index) => columns[index] as Numbers);
    return { batch, columns, objectives: this.objectives.map(({ index }) => columns[index] as Numbers), feasible };
  }

  /** The rows that were chosen of all that were added. */
  choose(): ChosenRows {
    const front = this.front.rows().rows;
    const sentFront = evenly(front, Math.floor(this.rowsMax / FRONT_SHARE));
    const chosen = new Set<number>(sentFront);
    for (const row of this.improvements.slice(-Math.floor(this.rowsMax / OTHER_SHARE))) chosen.add(row);
    for (const { lowRow, highRow } of this.ends) for (const row of [lowRow, highRow]) if (row >= 0) chosen.add(row);
    const room = Math.min(this.rowsMax - chosen.size, this.rowCount);
    for (let i = 0; i < room; i++) chosen.add(room > 1 ? Math.floor((i * (this.rowCount - 1)) / (room - 1)) : 0);
    return {
      rows: Float64Array.from(chosen).sort(),
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
  return Float64Array.from(
    { length: count },
    (_, i) => rows[Math.floor((i * (rows.length - 1)) / (count - 1))] as number,
  );
}
