import { ComparedFront } from './compared-front.js';
import { SortedFront } from './sorted-front.js';

/**
 * The rows that no other row dominates: none is as good in every objective and better in one. Points have a number an
 * objective, of which smaller is better; of equal points the first row counts. NaN is on no front.
 */
export interface ParetoFront {
  /** Takes a row; later rows have higher numbers. The point is copied. Where it `isDue`, it settles first. */
  add(row: number, point: Float64Array): void;
  /** Rows wait that take a while to be sorted in; who is in no hurry does so by `settling`. */
  readonly isDue: boolean;
  /** Sorts in what waits; no row is to be added before its end. At each step others may have their turn. */
  settling(): Iterator<void, void> & Iterable<void>;
  /** The rows that are on it, by their first objective; with their points, one after the other. */
  rows(): FrontRows;
  /** Whether it has exactly the rows that are on the front: false once some were left out for want of room or time. */
  readonly isExact: boolean;
}

/** Rows of a front. */
export interface FrontRows {
  readonly rows: Float64Array;
  /** A number an objective and row. */
  readonly points: Float64Array;
}

/** Up to so many objectives a front is found by sorting. */
const SORTED_OBJECTIVES_MAX = 3;

/**
 * An empty front. For up to three objectives it takes n log n steps; for more, rows are compared with each other, and beyond
 * fifty million comparisons one row counts for all that lie near each other.
 * @param rowsMax of up to three objectives: where more rows than that are on it, it is thinned to half of them, evenly.
 */
export function paretoFront(objectiveCount: number, rowsMax = Infinity): ParetoFront {
  return objectiveCount <= SORTED_OBJECTIVES_MAX
    ? new SortedFront(objectiveCount, rowsMax)
    : new ComparedFront(objectiveCount);
}
