import { setImmediate } from 'node:timers/promises';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ValueType, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { SAMPLE_ROWS_MAX, SAMPLE_ROWS_MIN } from '../../limits.js';
import type { Runs } from '../../rows/row-numbers/runs.js';
import { selectionAmong, type ReadRows, type SetSelection } from '../result-sets/read-set.js';
import { columnsOf, type NamedSelection } from '../selection.js';
import { invalid } from '../validate.js';
import { withSamplePlace } from './sample-places.js';
import { RowChooser, type ChosenRows } from './row-chooser.js';

/** A sample of a result's rows, and which rows and columns of it are loaded. */
export interface SampleSelection extends SetSelection {
  readonly chosen: ChosenRows;
}

/** Others have their turn after this long. */
const TURN_MS = 4;

/** Whether a load of so many rows at most is a sample of a result. REQUEST_INVALID out of bounds. */
export function isSampled({ rowCount }: Manifest, sampleRows: number): boolean {
  if (sampleRows === 0) return false;
  if (sampleRows < SAMPLE_ROWS_MIN || sampleRows > SAMPLE_ROWS_MAX)
    throw invalid(`sample_rows is ${sampleRows}; 0 or ${SAMPLE_ROWS_MIN} to ${SAMPLE_ROWS_MAX} is possible`);
  return rowCount > BigInt(sampleRows);
}

/** Reads all number columns of a result to choose rows that stand for it. COLUMN_NOT_FOUND, ROW_RANGE_INVALID. */
export async function sampleOf(
  manifest: Manifest,
  rowsMax: number,
  named: NamedSelection,
  read: ReadRows,
  signal: AbortSignal,
): Promise<SampleSelection> {
  // A column that is not there is told before all rows are read.
  columnsOf(manifest, named.columns);
  const chosen = await withSamplePlace(signal, () => chooseRows(manifest, rowsMax, read, signal));
  const rows = () => new ListedRows(chosen.rows);
  return { ...selectionAmong(manifest, { rows, rowCount: chosen.rows.length }, named, 'sample'), chosen };
}

async function chooseRows(
  manifest: Manifest,
  rowsMax: number,
  read: ReadRows,
  signal: AbortSignal,
): Promise<ChosenRows> {
  const variables = manifest.problem?.variables ?? [];
  const columns = variables.flatMap(({ valueType }, index) => (valueType === ValueType.STRING ? [] : [index]));
  const rowCount = Number(manifest.rowCount);
  const looked = columns.map((index) => variables[index] as Variable);
  const chooser = new RowChooser(looked, rowCount, rowsMax);
  if (columns.length > 0)
    for await (const batch of read({ columns, firstRow: 0, rowCount })) await inTurns(chooser.add(batch), signal);
  return await inTurns(chooser.choose(), signal);
}

/** Takes steps, and lets others have their turn between them. */
async function inTurns<Result>(steps: Iterator<void, Result>, signal: AbortSignal): Promise<Result> {
  for (;;) {
    await turn();
    signal.throwIfAborted();
    const untilMs = performance.now() + TURN_MS;
    let step: IteratorResult<void, Result>;
    do {
      step = steps.next();
      if (step.done === true) return step.value;
    } while (performance.now() < untilMs);
  }
}

let lastTurn: Promise<unknown> = Promise.resolve();

/** The next turn: however many samples are chosen at a time, one has it, and then all else that the daemon does. */
function turn(): Promise<unknown> {
  return (lastTurn = lastTurn.then(() => setImmediate()));
}

/** Ascending row numbers as runs. */
class ListedRows implements Runs {
  first = 0;
  end = 0;
  private next = 0;

  constructor(private readonly rows: Float64Array) {}

  advance(): boolean {
    const { rows } = this;
    if (this.next === rows.length) return false;
    this.first = rows[this.next++] as number;
    this.end = this.first + 1;
    while (this.next < rows.length && rows[this.next] === this.end) {
      this.next++;
      this.end++;
    }
    return true;
  }
}
