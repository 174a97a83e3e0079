import { maskOfRowNumbers, rowNumber, type RunRows } from '../rows/run-rows.js';

/** Of one run at most: it is taken by the view that comes next. */
let kept: { readonly key: string; readonly revision: bigint; readonly numbers: readonly number[] } | undefined;

/** Keeps what is selected of a save that was committed, for the view of the run that it has become. */
export function keepSelection(key: string, revision: bigint, rows: RunRows, mask: Uint8Array | undefined): void {
  const selected = Array.from(mask ?? []).flatMap((one, row) => (one === 1 ? [rowNumber(rows, row)] : []));
  kept = selected.length === 0 ? undefined : { key, revision, numbers: selected };
}

/** The selection that was kept for a revision of a run, of its rows that are here; undefined where there is none. */
export function takeSelection(key: string, revision: bigint, rows: RunRows): Uint8Array | undefined {
  const found = kept?.key === key && kept.revision === revision ? kept : undefined;
  kept = undefined;
  return found && maskOfRowNumbers(rows, found.numbers);
}
