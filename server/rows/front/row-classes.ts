import { readPoint } from './objectives.js';
import { paretoFront, type ParetoFront } from './pareto-front.js';
import type { Goals } from './goals.js';

/** What a row is to the optimization; as numbers, so that a run's fit into bytes. The better is drawn later. */
export const RowClass = { INFEASIBLE: 0, DOMINATED: 1, FEASIBLE: 2, FRONT: 3 } as const;
export type RowClass = (typeof RowClass)[keyof typeof RowClass];

/** Numbers of the columns, by the variables' indices. */
export type ColumnsOf = (index: number) => Float64Array;

/**
 * The class of each row of a run that may still grow: rows that come are compared with each other and with the front so far alone.
 * With two objectives or more those that no other feasible row dominates are the front, with one the best; a feasible row that
 * lacks an objective's value, and each of a problem without objectives, is feasible and no more.
 */
export class RowClasses {
  private classes: Uint8Array = new Uint8Array(0);
  private done = 0;
  private readonly front: ParetoFront;
  private frontRows: Float64Array = new Float64Array(0);

  constructor(private readonly goals: Goals) {
    this.front = paretoFront(goals.objectives.length);
  }

  /** Takes the rows up to `rowCount`; gives the classes of all, which are its own. */
  upTo(rowCount: number, column: ColumnsOf): Uint8Array {
    const { goals, front } = this;
    const from = this.done;
    this.reserve(rowCount);
    const classes = this.classes.subarray(0, rowCount);
    if (rowCount === from) return classes;
    const newNumbers = (index: number) => ({ values: column(index).subarray(from, rowCount) });
    const feasible = goals.feasibility.of(rowCount - from, newNumbers);
    const numbers = goals.objectives.map(({ index }) => newNumbers(index));
    const point = new Float64Array(goals.objectives.length);
    for (let row = from; row < rowCount; row++) {
      if (feasible[row - from] === 0) continue;
      readPoint(goals.objectives, numbers, row - from, point);
      const isRanked = point.length > 0 && !point.some(Number.isNaN);
      classes[row] = isRanked ? RowClass.DOMINATED : RowClass.FEASIBLE;
      if (isRanked) front.add(row, point);
    }
    for (const row of this.frontRows) classes[row] = RowClass.DOMINATED;
    if (point.length > 0) this.frontRows = front.rows().rows;
    for (const row of this.frontRows) classes[row] = RowClass.FRONT;
    this.done = rowCount;
    return classes;
  }

  private reserve(rowCount: number): void {
    if (rowCount <= this.classes.length) return;
    const grown = new Uint8Array(Math.max(rowCount, this.classes.length * 2));
    grown.set(this.classes);
    this.classes = grown;
  }
}

/** How many rows are of each class, by its number. */
export function classCounts(classes: Uint8Array): [number, number, number, number] {
  const counts: [number, number, number, number] = [0, 0, 0, 0];
  for (let row = 0; row < classes.length; row++) counts[classes[row] as RowClass]++;
  return counts;
}
