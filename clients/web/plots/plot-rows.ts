import type { PlotColumn } from '../rows/plot-columns.js';

/** What all plots of a run show. A new one whenever there are more rows, or their classes are known. */
export interface PlotRows {
  readonly rowCount: number;
  readonly columns: readonly PlotColumn[];
  /** Each row's RowClass, or whatever the marks of a plot mean. */
  readonly classes: Uint8Array;
  /** Rows of each class. */
  readonly counts: readonly number[];
}
