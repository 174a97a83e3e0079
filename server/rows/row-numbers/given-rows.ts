import { create } from '@bufbuild/protobuf';
import type { ResultSet } from '../../../proto/gen/optistore/v1/result_pb.js';
import { ResultSetSchema } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { RowNumbers } from '../../../proto/gen/optistore/v1/rows_pb.js';
import type { Runs } from './runs.js';
import { writeRowNumbers } from './write-form.js';

/**
 * Rows as a program names them: numbers, and runs `[first, end]` of which the end is not in it, in ascending order; or a
 * message that is ready.
 */
export type GivenRows = RowNumbers | Iterable<number | bigint | readonly [first: number, end: number]>;

/** A result set as a program names it. */
export interface GivenSet {
  readonly name: string;
  readonly rows: GivenRows;
  readonly createdBy?: string;
  readonly description?: string;
}

/** The messages for result sets. RangeError where rows are out of order or none. */
export function resultSetsOf(sets: readonly GivenSet[]): ResultSet[] {
  return sets.map(({ rows, ...rest }) => create(ResultSetSchema, { ...rest, rows: rowNumbersOf(rows) }));
}

/** The message that names these rows, in its smallest form. RangeError where they are out of order or none. */
export function rowNumbersOf(rows: GivenRows): RowNumbers {
  if ('$typeName' in rows) return rows;
  return writeRowNumbers(() => new GivenRuns(rows)).rows;
}

class GivenRuns implements Runs {
  first = 0;
  end = 0;
  private readonly rows: Iterator<number | bigint | readonly [number, number]>;
  private next: readonly [first: number, end: number] | undefined;

  constructor(rows: Iterable<number | bigint | readonly [number, number]>) {
    this.rows = rows[Symbol.iterator]();
    this.next = this.take(0);
  }

  advance(): boolean {
    if (this.next === undefined) return false;
    [this.first, this.end] = this.next;
    while ((this.next = this.take(this.end)) !== undefined && this.next[0] === this.end) this.end = this.next[1];
    return true;
  }

  private take(before: number): readonly [number, number] | undefined {
    const next = this.rows.next();
    if (next.done === true) return undefined;
    const { value } = next;
    const [first, end] = typeof value === 'object' ? value : [Number(value), Number(value) + 1];
    if (!Number.isSafeInteger(first) || !Number.isSafeInteger(end) || first < 0)
      throw new RangeError(`${String(value)} is no row number: an integer from 0 on was expected`);
    if (end <= first) throw new RangeError(`the rows ${first}:${end} are none; the end lies behind the first row`);
    if (first < before)
      throw new RangeError(`row ${first} comes behind row ${before - 1}; give rows in ascending order, each once`);
    return [first, end];
  }
}
