import { useSignal, type ReadonlySignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { explain } from '../connection/errors.js';
import { openRun, type OpenRun } from '../run/use-run.js';

/** A run of several, as far as it is open. */
export type ComparedState =
  | { readonly case: 'loading'; readonly done: number; readonly total: number }
  | { readonly case: 'open'; readonly run: OpenRun }
  | { readonly case: 'failed'; readonly message: string; readonly reason: string | undefined };

export interface UsedRuns {
  /** In the order of the keys. */
  readonly states: ReadonlySignal<readonly ComparedState[]>;
  /** Opens one again that failed, by its place. */
  readonly retry: (place: number) => void;
}

/** Opens runs one after the other: each has the whole connection. Leaving ends the loads. */
export function useRuns(keys: readonly string[]): UsedRuns {
  const states = useSignal<readonly ComparedState[]>(keys.map(() => ({ case: 'loading', done: 0, total: 0 })));
  const opening = useRef<(place: number) => Promise<void>>(undefined);
  useEffect(() => {
    const leaving = new AbortController();
    const opened: OpenRun[] = [];
    const open = async (place: number) => {
      if (leaving.signal.aborted) return;
      const state = await stateOf(keys[place] ?? '', leaving.signal, (told) => set(place, told));
      if (state.case === 'open') opened.push(state.run);
      set(place, state);
    };
    const set = (place: number, state: ComparedState) => {
      if (!leaving.signal.aborted) states.value = states.peek().with(place, state);
    };
    opening.current = open;
    void (async () => {
      for (const place of keys.keys()) await open(place);
    })();
    return () => {
      leaving.abort();
      for (const { model } of opened) model[Symbol.dispose]();
    };
  }, [keys.join('\n')]);
  return { states, retry: (place) => void opening.current?.(place) };
}

async function stateOf(key: string, signal: AbortSignal, tell: (state: ComparedState) => void): Promise<ComparedState> {
  tell({ case: 'loading', done: 0, total: 0 });
  try {
    return { case: 'open', run: await openRun(key, signal, (done, total) => tell({ case: 'loading', done, total })) };
  } catch (error) {
    const { message, reason } = explain(error);
    return { case: 'failed', message, reason };
  }
}
