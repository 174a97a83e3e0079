import { useSignal, type ReadonlySignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { explain } from '../connection/errors.js';
import { openRun, type OpenRun } from '../run/use-run.js';

/** A run of several, as far as it is open. */
export type ComparedState =
  | { readonly case: 'loading'; readonly done: number; readonly total: number }
  | { readonly case: 'open'; readonly run: OpenRun }
  | { readonly case: 'failed'; readonly message: string };

/** Opens runs one after the other: each has the whole connection. Leaving ends the loads. */
export function useRuns(keys: readonly string[]): ReadonlySignal<readonly ComparedState[]> {
  const states = useSignal<readonly ComparedState[]>(keys.map(() => ({ case: 'loading', done: 0, total: 0 })));
  useEffect(() => {
    const leaving = new AbortController();
    const opened: OpenRun[] = [];
    const set = (i: number, state: ComparedState) => (states.value = states.peek().with(i, state));
    void (async () => {
      for (const [i, key] of keys.entries()) {
        if (leaving.signal.aborted) return;
        try {
          const run = await openRun(key, leaving.signal, (done, total) => set(i, { case: 'loading', done, total }));
          opened.push(run);
          set(i, { case: 'open', run });
        } catch (error) {
          set(i, { case: 'failed', message: explain(error).message });
        }
      }
    })();
    return () => {
      leaving.abort();
      for (const { model } of opened) model[Symbol.dispose]();
    };
  }, [keys.join('\n')]);
  return states;
}
