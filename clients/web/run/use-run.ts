import { signal, useSignal, type ReadonlySignal, type Signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { LoadHeader } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { explain } from '../connection/errors.js';
import { loadRun } from '../rows/load.js';
import { takeSelection } from './kept-selection.js';
import { RunModel } from './run-model.js';
import { KeyEvents, type Superseded } from './superseded.js';

/** A run that is open, until it is disposed of. */
export interface OpenRun extends Disposable {
  readonly header: LoadHeader;
  readonly model: RunModel;
  /** What is known of it, as it is now: tags and sets change while the rows stay. Its summaries of columns are there always. */
  readonly result: Signal<Result>;
  readonly superseded: ReadonlySignal<Superseded>;
}

/** How far a run is open. */
export type RunState =
  | { readonly case: 'loading'; readonly done: number; readonly total: number }
  | { readonly case: 'open'; readonly run: OpenRun }
  | { readonly case: 'failed'; readonly message: string; readonly reason: string | undefined };

export interface UsedRun {
  readonly state: ReadonlySignal<RunState>;
  /** Loads it again, in its newest revision. */
  readonly reload: () => void;
}

/** Opens a run, and keeps what is known of it up to date; leaving ends the load. */
export function useRun(key: string): UsedRun {
  const state = useSignal<RunState>({ case: 'loading', done: 0, total: 0 });
  const attempt = useSignal(0);
  useEffect(() => {
    const leaving = new AbortController();
    state.value = { case: 'loading', done: 0, total: 0 };
    let opened: OpenRun | undefined;
    openRun(key, leaving.signal, (done, total) => (state.value = { case: 'loading', done, total })).then(
      (run) => {
        if (leaving.signal.aborted) return run[Symbol.dispose]();
        opened = run;
        const selected = takeSelection(key, run.result.peek().revision, run.model.rows.peek());
        if (selected !== undefined) run.model.selection.change(selected);
        state.value = { case: 'open', run };
      },
      (error: unknown) => {
        const { message, reason } = explain(error);
        if (!leaving.signal.aborted) state.value = { case: 'failed', message, reason };
      },
    );
    return () => {
      leaving.abort();
      opened?.[Symbol.dispose]();
    };
  }, [key, attempt.value]);
  return { state, reload: () => attempt.value++ };
}

/** Loads a run and finds the class of each row. Throws what `explain` knows. */
export async function openRun(
  key: string,
  aborting: AbortSignal,
  onProgress: (done: number, total: number) => void,
): Promise<OpenRun> {
  const events = new KeyEvents(key);
  try {
    const { header, rows } = await loadRun(key, { signal: aborting, onProgress });
    if (header.result === undefined) throw new TypeError('The load had no result.');
    const model = await RunModel.of(rows);
    const result = signal(header.result);
    events.follow(result);
    const close = () => {
      events[Symbol.dispose]();
      model[Symbol.dispose]();
    };
    return { header, model, result, superseded: events.superseded, [Symbol.dispose]: close };
  } catch (error) {
    events[Symbol.dispose]();
    throw error;
  }
}
