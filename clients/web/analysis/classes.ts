import type { Goals, Objective } from './constraints.js';
import { frontOf } from './front.js';

/** What a row is to the optimization; as numbers, so that a run's fit into bytes. The better is drawn later. */
export const RowClass = { INFEASIBLE: 0, DOMINATED: 1, FEASIBLE: 2, FRONT: 3 } as const;
export type RowClass = (typeof RowClass)[keyof typeof RowClass];

/** Numbers of the columns, by the variables' indices. */
export type ColumnsOf = (index: number) => Float64Array;

/** 1 for each of the rows `from` to `end` whose constraints all hold; a missing or NaN value does not hold. */
function feasibleRows({ constraints }: Goals, column: ColumnsOf, from: number, end: number): Uint8Array {
  const feasible = new Uint8Array(end - from).fill(1);
  for (const { index, target, low, high } of constraints) {
    const values = column(index);
    for (let row = from; row < end; row++) {
      const value = (values[row] as number) - target;
      if (!(value >= low && value <= high)) feasible[row - from] = 0;
    }
  }
  return feasible;
}

/**
 * The class of each row of a run that may still grow: rows that come are compared with each other and with the front so far alone.
 * With two objectives or more those that no other feasible row dominates are the front, with one the best; a feasible row that
 * lacks an objective's value, and each of a problem without objectives, is feasible and no more.
 */
export class RowClasses {
  private classes: Uint8Array = new Uint8Array(0);
  private done = 0;
  private front: Uint32Array = new Uint32Array(0);

  constructor(private readonly goals: Goals) {}

  /** Takes the rows up to `rowCount`; gives the classes of all, which are its own. */
  upTo(rowCount: number, column: ColumnsOf): Uint8Array {
    const from = this.done;
    this.reserve(rowCount);
    const classes = this.classes.subarray(0, rowCount);
    const values = this.goals.objectives.map(({ index, sign }) => signed(column(index), sign));
    const ranked = Array.from(this.front);
    const feasible = feasibleRows(this.goals, column, from, rowCount);
    for (let row = from; row < rowCount; row++) {
      if (feasible[row - from] === 0) continue;
      const isRanked = values.length > 0 && values.every((objective) => !Number.isNaN(objective[row] as number));
      classes[row] = isRanked ? RowClass.DOMINATED : RowClass.FEASIBLE;
      if (isRanked) ranked.push(row);
    }
    for (const row of this.front) classes[row] = RowClass.DOMINATED;
    this.front = frontOf(values, Uint32Array.from(ranked));
    for (const row of this.front) classes[row] = RowClass.FRONT;
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

/** So that smaller is better. */
export function signed(values: Float64Array, sign: Objective['sign']): Float64Array {
  return sign === 1 ? values : values.map((value) => -value);
}

/** How many rows are of each class, by its number. */
export function classCounts(classes: Uint8Array): [number, number, number, number] {
  const counts: [number, number, number, number] = [0, 0, 0, 0];
  for (let row = 0; row < classes.length; row++) counts[classes[row] as RowClass]++;
  return counts;
}
