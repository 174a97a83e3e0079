import type { Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import type { RowBatch } from '../../../proto/gen/optistore/v1/rows_pb.js';
import type { RowSample } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { growingColumn, type GrowingColumn, type RunColumn } from './columns.js';

/** Most rows that the page keeps of a run. */
export const ROWS_MAX = 200_000;

/** Rows of a run, or a sample of them. Rows are counted from 0 as they lie here; `rowNumber` says which ones they are. */
export interface RunRows {
  readonly variables: readonly Variable[];
  readonly rowCount: number;
  /** In the order of `variables`. */
  readonly columns: readonly RunColumn[];
  /** Numbers in the result of the rows here. Undefined: all rows are here, from 0 on. */
  readonly rowNumbers: Float64Array | undefined;
  /** Rows that the run has, here or not. */
  readonly totalRowCount: number;
  /** How the rows here were chosen. Undefined: they are all. */
  readonly sample: RowSample | undefined;
}

/** The number in its result of a row that is here. */
export function rowNumber({ rowNumbers }: Pick<RunRows, 'rowNumbers'>, row: number): number {
  return rowNumbers === undefined ? row : (rowNumbers[row] ?? NaN);
}

/** Where the rows with these numbers, ascending, lie here, as a mask; those that are not here are left out. */
export function maskOfRowNumbers(rows: RunRows, numbers: Iterable<number>): Uint8Array {
  const mask = new Uint8Array(rows.rowCount);
  const here = rows.rowNumbers;
  let at = 0;
  for (const number of numbers) {
    if (here === undefined) {
      if (number < mask.length) mask[number] = 1;
      continue;
    }
    while (at < here.length && (here[at] as number) < number) at++;
    if (here[at] === number) mask[at] = 1;
  }
  return mask;
}

/** Takes the batches of a load as they come. */
export class RowsBuilder {
  private readonly columns: readonly GrowingColumn[];
  private count = 0;
  private total = 0;
  private numbers: Float64Array | undefined;

  constructor(
    private readonly variables: readonly Variable[],
    capacity: number,
    private readonly sample?: RowSample,
  ) {
    this.columns = variables.map((variable) => growingColumn(variable, capacity));
    if (sample !== undefined) this.numbers = new Float64Array(capacity);
  }

  /** Rows that are here. */
  get rowCount(): number {
    return this.count;
  }

  /** Rows that came, those that were thinned out since among them. */
  get totalRowCount(): number {
    return this.total;
  }

  append(batch: RowBatch): void {
    const { rowCount } = batch;
    batch.columns.forEach((column, i) => this.columns[i]?.append(column, rowCount));
    if (this.numbers !== undefined) this.appendNumbers(batch, this.numbers);
    this.count += rowCount;
    this.total += rowCount;
  }

  private appendNumbers({ rowNumbers, rowCount, firstRow }: RowBatch, before: Float64Array): void {
    let numbers = before;
    if (this.count + rowCount > numbers.length) {
      numbers = new Float64Array(Math.max(this.count + rowCount, numbers.length * 2));
      numbers.set(before);
      this.numbers = numbers;
    }
    const view = rowNumbers && new DataView(rowNumbers.buffer, rowNumbers.byteOffset, rowNumbers.byteLength);
    for (let i = 0; i < rowCount; i++)
      numbers[this.count + i] = view ? Number(view.getBigUint64(i * 8, true)) : Number(firstRow) + i;
  }

  /** Leaves out all rows but these, ascending. */
  keep(rows: Uint32Array): void {
    const before = this.numbers;
    const numbers = new Float64Array(Math.max(rows.length * 2, 1));
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as number;
      numbers[i] = before === undefined ? row : (before[row] as number);
    }
    for (const column of this.columns) column.keep(rows);
    this.numbers = numbers;
    this.count = rows.length;
  }

  /** What is here now. */
  rows(totalRowCount = this.total): RunRows {
    return {
      variables: this.variables,
      rowCount: this.count,
      columns: this.columns.map((column) => column.view()),
      rowNumbers: this.numbers?.subarray(0, this.count),
      totalRowCount,
      sample: this.sample,
    };
  }
}
