import type { Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { ColumnInput } from '../typescript/index.js';

/** Some rows: for each variable a column of equal length, as a writer takes them. */
export type Part = Readonly<Record<string, ColumnInput>>;

/** Rows that are to be saved, in whatever form they come. */
export interface RowSource extends AsyncDisposable {
  /** The problem that the input itself tells of. Undefined: it tells of none. InputError. */
  problem(): Promise<Problem | undefined>;
  /** The rows behind those that are known, as they come. Read once. InputError. */
  parts(problem: Problem, known: KnownRows): AsyncIterable<Part>;
}

/** Rows at the beginning of the input that an earlier try has saved. */
export class KnownRows {
  /** `left`: how many of them the input has not shown yet. */
  constructor(public left: number) {}

  /** How many of the next rows are known. */
  take(rowCount: number): number {
    const known = Math.min(this.left, rowCount);
    this.left -= known;
    return known;
  }
}
