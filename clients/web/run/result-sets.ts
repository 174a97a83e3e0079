/** Calls about the result sets of a run. */
import type { Signal } from '@preact/signals';
import { ResultView, type Result, type SetOperation } from '../../../proto/gen/optistore/v1/result_pb.js';
import { daemon } from '../connection/daemon.js';
import { explain } from '../connection/errors.js';
import { maskOfRowNumbers, rowNumber, type RunRows } from '../rows/run-rows.js';
import { hasSameRows, keep } from './superseded.js';

/** A set as it is to be made. */
export interface NewSet {
  readonly name: string;
  readonly description: string;
}

/** Who made a set, as others see it. */
const CREATED_BY = 'optistore page';

/** The rows were replaced while they were looked at: their numbers mean other rows now. */
export class RowsChanged extends Error {
  constructor() {
    super('The rows of this run were replaced meanwhile: reload it, and select again.');
  }
}

/** Makes a set of the rows of a mask. Throws RowsChanged, and what `explain` knows. */
export async function saveSelection(
  result: Signal<Result>,
  rows: RunRows,
  mask: Uint8Array,
  set: NewSet,
): Promise<void> {
  const form = rowNumbersOf(rows, mask);
  await changed(result, async (expectedRevision) => {
    const { key } = result.peek();
    const answer = await daemon.putResultSet({ key, ...set, createdBy: CREATED_BY, rows: { form }, expectedRevision });
    return answer.result;
  });
}

/** Makes a set of others. */
export async function combineSets(
  result: Signal<Result>,
  operation: SetOperation,
  parents: readonly string[],
  set: NewSet,
): Promise<void> {
  await changed(result, async (expectedRevision) => {
    const { key } = result.peek();
    const request = { key, ...set, createdBy: CREATED_BY, operation, parents: [...parents], expectedRevision };
    return (await daemon.putResultSet(request)).result;
  });
}

/** Removes a set; its rows stay. */
export async function deleteSet(result: Signal<Result>, name: string): Promise<void> {
  await changed(result, async (expectedRevision) => {
    const { key } = result.peek();
    return (await daemon.deleteResultSet({ key, name, expectedRevision })).result;
  });
}

/** The rows of a set that are here, as a mask, and how many it has in all. */
export async function rowsOfSet(
  result: Result,
  rows: RunRows,
  name: string,
  signal: AbortSignal,
): Promise<{ mask: Uint8Array; rowCount: number }> {
  const { key, revision } = result;
  // Some column has to be sent with the numbers: a narrow one.
  const column = rows.columns.find(({ kind }) => kind === 'number') ?? rows.columns[0];
  const columns = column === undefined ? [] : [column.variable.name];
  const numbers: number[] = [];
  for await (const { message } of daemon.loadResult({ key, revision, resultSet: name, columns }, { signal })) {
    const bytes = message.case === 'batch' ? message.value.rowNumbers : undefined;
    if (bytes === undefined) continue;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.byteLength; at += 8) numbers.push(Number(view.getBigUint64(at, true)));
  }
  return { mask: maskOfRowNumbers(rows, numbers), rowCount: numbers.length };
}

/**
 * Changes the revision that is known; where only tags or sets were changed meanwhile, the newest. Throws RowsChanged where the
 * rows are others.
 */
async function changed(
  result: Signal<Result>,
  change: (expectedRevision: bigint) => Promise<Result | undefined>,
): Promise<void> {
  for (;;) {
    try {
      const told = await change(result.peek().revision);
      if (told !== undefined) keep(result, told);
      return;
    } catch (error) {
      if (explain(error).reason !== 'REVISION_MISMATCH') throw error;
      const { result: newest } = await daemon.getResult({ key: result.peek().key, view: ResultView.FULL });
      if (newest === undefined || !hasSameRows(newest, result.peek())) throw new RowsChanged();
      // A store that lags behind would be asked for ever.
      if (newest.revision <= result.peek().revision) throw error;
      keep(result, newest);
    }
  }
}

/** As a bitmap, or as a list where that is smaller. */
function rowNumbersOf(rows: RunRows, mask: Uint8Array) {
  const numbers: number[] = [];
  for (let row = 0; row < mask.length; row++) if (mask[row] === 1) numbers.push(rowNumber(rows, row));
  const bitmapBytes = Math.ceil(((numbers.at(-1) ?? -1) + 1) / 8);
  if (bitmapBytes <= numbers.length * 8) {
    const value = new Uint8Array(bitmapBytes);
    for (const number of numbers) value[number >>> 3] = (value[number >>> 3] ?? 0) | (1 << (number & 7));
    return { case: 'bitmap' as const, value };
  }
  const value = new Uint8Array(numbers.length * 8);
  const view = new DataView(value.buffer);
  numbers.forEach((number, i) => view.setBigUint64(i * 8, BigInt(number), true));
  return { case: 'list' as const, value };
}
