import { useSignal, type ReadonlySignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { explain } from '../connection/errors.js';
import { openRun, type OpenRun, type RunState } from '../run/use-run.js';

export interface UsedRuns {
  /** In the order of the keys. */
  readonly states: ReadonlySignal<readonly RunState[]>;
  /** Opens one again, in its newest revision, by its place. */
  readonly reopen: (place: number) => void;
}

/** Opens runs one after the other: each has the whole connection. Leaving ends the loads. */
export function useRuns(keys: readonly string[]): UsedRuns {
  const states = useSignal<readonly RunState[]>(keys.map(() => ({ case: 'loading', done: 0, total: 0 })));
  const opening = useRef<(place: number) => Promise<void>>(undefined);
  useEffect(() => {
    const leaving = new AbortController();
    const opened = new Map<number, OpenRun>();
    const open = async (place: number) => {
      if (leaving.signal.aborted) return;
      const state = await stateOf(keys[place] ?? '', leaving.signal, (told) => set(place, told));
      opened.get(place)?.[Symbol.dispose]();
      opened.delete(place);
      if (state.case === 'open') {
        if (leaving.signal.aborted) return state.run[Symbol.dispose]();
        opened.set(place, state.run);
      }
      set(place, state);
    };
    const set = (place: number, state: RunState) => {
      if (!leaving.signal.aborted) states.value = states.peek().with(place, state);
    };
    opening.current = open;
    void (async () => {
      for (const place of keys.keys()) await open(place);
    })();
    return () => {
      leaving.abort();
      for (const run of opened.values()) run[Symbol.dispose]();
    };
  }, [keys.join('\n')]);
  return { states, reopen: (place) => void opening.current?.(place) };
}

async function stateOf(key: string, signal: AbortSignal, tell: (state: RunState) => void): Promise<RunState> {
  tell({ case: 'loading', done: 0, total: 0 });
  try {
    return { case: 'open', run: await openRun(key, signal, (done, total) => tell({ case: 'loading', done, total })) };
  } catch (error) {
    const { message, reason } = explain(error);
    return { case: 'failed', message, reason };
  }
}
