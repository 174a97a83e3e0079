/** What the page asks of the worker, and what it answers. */
import type { Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import type { HypervolumeBox } from '../../../server/rows/front/hypervolume-box.js';
import type { Convergence } from './convergence.js';
import type { Correlation } from './correlation.js';
import type { Histogram } from './distribution.js';

/** A question about the rows of one run, which the worker keeps under a number. */
export type Question =
  | { readonly case: 'classes'; readonly variables: readonly Variable[]; readonly rowCount: number }
  | {
      readonly case: 'convergence';
      readonly variables: readonly Variable[];
      readonly rowCount: number;
      readonly rowNumbers: Float64Array | undefined;
      readonly generation: number | undefined;
      readonly box: HypervolumeBox | undefined;
    }
  | { readonly case: 'histograms'; readonly columns: readonly number[]; readonly mask: Uint8Array | undefined }
  | { readonly case: 'correlation'; readonly columns: readonly number[] };

/** The answer to each question. */
export interface Answers {
  readonly classes: Uint8Array;
  readonly convergence: Convergence;
  readonly histograms: readonly Histogram[];
  readonly correlation: Correlation;
}

/** Values of a column that the worker does not have yet, from a row on. */
export interface ColumnPart {
  readonly index: number;
  readonly fromRow: number;
  readonly values: Float64Array;
}

/** A message to the worker. */
export type Request =
  | {
      readonly case: 'ask';
      readonly id: number;
      readonly run: number;
      readonly parts: readonly ColumnPart[];
      readonly question: Question;
    }
  | { readonly case: 'forget'; readonly run: number };

/** A message from it. */
export type Response =
  { readonly id: number; readonly answer: Answers[keyof Answers] } | { readonly id: number; readonly failure: string };
