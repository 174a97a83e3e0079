/**
 * Runs of rows in ascending order, none touching the next, read once from the first to the last. A cursor and no
 * iterator: a set over ten million rows may have millions of runs, and none of them becomes an object.
 */
export interface Runs {
  /** First row of the run that `advance` went to. */
  readonly first: number;
  /** The row behind its last. */
  readonly end: number;
  /** Goes to the next run, to the first one at the beginning; false behind the last. */
  advance(): boolean;
}

/** Runs that can be read as often as is needed, each time from the first. */
export type RunSource = () => Runs;

/** Number of rows in all runs. */
export function countRows(runs: Runs): number {
  let count = 0;
  while (runs.advance()) count += runs.end - runs.first;
  return count;
}

/** The rows at positions `from` to `from + count` of a set, counted from 0. Behind its end there is none. */
export class RunsAtPositions implements Runs {
  first = 0;
  end = 0;
  private skip: number;
  private left: number;

  constructor(
    private readonly runs: Runs,
    from: number,
    count: number,
  ) {
    this.skip = from;
    this.left = count;
  }

  advance(): boolean {
    while (this.left > 0 && this.runs.advance()) {
      const length = this.runs.end - this.runs.first;
      if (this.skip >= length) {
        this.skip -= length;
        continue;
      }
      this.first = this.runs.first + this.skip;
      this.end = Math.min(this.runs.end, this.first + this.left);
      this.skip = 0;
      this.left -= this.end - this.first;
      return true;
    }
    return false;
  }
}

/** The row at a position of a set, counted from 0; undefined behind its end. */
export function rowAtPosition(runs: Runs, position: number): number | undefined {
  const at = new RunsAtPositions(runs, position, 1);
  return at.advance() ? at.first : undefined;
}
