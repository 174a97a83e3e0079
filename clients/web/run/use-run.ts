import { batch, signal, useSignal, type ReadonlySignal, type Signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { ResultView, type Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { LoadHeader } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { explain } from '../connection/errors.js';
import { daemon } from '../connection/daemon.js';
import { onEvent, type DaemonEvent } from '../connection/events.js';
import { loadRun } from '../rows/load.js';
import { takeSelection } from './kept-selection.js';
import { RunModel } from './run-model.js';

/** A run that is open. */
export interface OpenRun {
  readonly header: LoadHeader;
  readonly model: RunModel;
  /** What is known of it, as it is now: tags and sets change while the rows stay. Its summaries of columns are there always. */
  readonly result: Signal<Result>;
}

/** What became of opening a run. */
export type RunState =
  | { readonly case: 'loading'; readonly done: number; readonly total: number }
  | { readonly case: 'open'; readonly run: OpenRun }
  | { readonly case: 'failed'; readonly message: string; readonly reason: string | undefined };

/** What happened to a run's key since it was opened: its rows are those of an earlier revision, or of none. */
export type Superseded =
  { readonly case: 'replaced'; readonly revision: bigint } | { readonly case: 'deleted' } | undefined;

export interface UsedRun {
  readonly state: ReadonlySignal<RunState>;
  readonly superseded: ReadonlySignal<Superseded>;
  /** Loads it again, in its newest revision. */
  readonly reload: () => void;
}

/** Opens a run, and keeps what is known of it up to date; leaving ends the load. */
export function useRun(key: string): UsedRun {
  const state = useSignal<RunState>({ case: 'loading', done: 0, total: 0 });
  const superseded = useSignal<Superseded>(undefined);
  const attempt = useSignal(0);
  useEffect(() => {
    const leaving = new AbortController();
    state.value = { case: 'loading', done: 0, total: 0 };
    superseded.value = undefined;
    let opened: RunModel | undefined;
    // What happens to it while its rows come is known of once they are there.
    const early: DaemonEvent[] = [];
    const stop = onEvent((event) => {
      if (event.case !== 'relist' && event.value.key !== key) return;
      if (state.peek().case === 'loading') early.push(event);
      else follow(event, state, superseded);
    });
    openRun(key, leaving.signal, (done, total) => (state.value = { case: 'loading', done, total })).then(
      (run) => {
        opened = run.model;
        if (leaving.signal.aborted) return run.model[Symbol.dispose]();
        const selected = takeSelection(key, run.result.peek().revision, run.model.rows.peek());
        if (selected !== undefined) run.model.selection.change(selected);
        batch(() => {
          state.value = { case: 'open', run };
          for (const event of early) follow(event, state, superseded);
        });
      },
      (error: unknown) => {
        const { message, reason } = explain(error);
        if (!leaving.signal.aborted) state.value = { case: 'failed', message, reason };
      },
    );
    return () => {
      leaving.abort();
      stop();
      opened?.[Symbol.dispose]();
    };
  }, [key, attempt.value]);
  return { state, superseded, reload: () => attempt.value++ };
}

/** Loads a run and finds the class of each row. Throws what `explain` knows. */
export async function openRun(
  key: string,
  aborting: AbortSignal,
  onProgress: (done: number, total: number) => void,
): Promise<OpenRun> {
  const { header, rows } = await loadRun(key, { signal: aborting, onProgress });
  if (header.result === undefined) throw new TypeError('The load had no result.');
  const model = await RunModel.of(rows);
  return { header, model, result: signal(header.result) };
}

function follow(event: DaemonEvent, state: ReadonlySignal<RunState>, superseded: Signal<Superseded>): void {
  const open = state.peek();
  if (open.case !== 'open') return;
  const { result } = open.run;
  if (event.case === 'relist') {
    void askAnew(result, superseded);
    return;
  }
  if (event.value.revision <= result.peek().revision) return;
  if (event.case === 'deleted') superseded.value = { case: 'deleted' };
  else if (event.case === 'committed') superseded.value = { case: 'replaced', revision: event.value.revision };
  else if (superseded.peek() === undefined) keep(result, event.value);
}

/** Something may have happened to it that was not told. */
async function askAnew(result: Signal<Result>, superseded: Signal<Superseded>): Promise<void> {
  try {
    const { result: newest } = await daemon.getResult({ key: result.peek().key, view: ResultView.FULL });
    if (newest === undefined || newest.revision <= result.peek().revision) return;
    if (hasSameRows(newest, result.peek())) keep(result, newest);
    else superseded.value = { case: 'replaced', revision: newest.revision };
  } catch (error) {
    // Whatever else failed: the connection tells of itself.
    if (explain(error).reason === 'RESULT_NOT_FOUND') superseded.value = { case: 'deleted' };
  }
}

/** Whether two revisions differ in what is known of them alone. */
export function hasSameRows(a: Result, b: Result): boolean {
  return (
    a.rowCount === b.rowCount &&
    a.columns.length === b.columns.length &&
    a.columns.every((column, i) => column.valuesCrc32 === b.columns[i]?.valuesCrc32)
  );
}

/** Takes what an answer says that has no summaries of columns. */
export function keep(result: Signal<Result>, told: Result): void {
  const { columns, placements } = result.peek();
  if (told.revision < result.peek().revision) return;
  result.value = told.columns.length > 0 ? told : { ...told, columns, placements };
}
