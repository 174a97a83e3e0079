import { effect, untracked, useSignal, type ReadonlySignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { Asking, type Answered } from './asking.js';

/**
 * The answer to a question, which is asked again when the signals change that `when` reads, one at a time. What comes too often is
 * asked in steps, and at last once more. `dependencies`: what else it depends on.
 */
export function useAnswer<Answer>(
  when: () => unknown,
  ask: () => Promise<Answer>,
  dependencies: readonly unknown[],
): ReadonlySignal<Answered<Answer>> {
  const answered = useSignal<Answered<Answer>>({ answer: undefined, failure: undefined });
  useEffect(() => {
    const asking = new Asking(ask, (next) => (answered.value = next));
    const stop = effect(() => {
      when();
      untracked(() => asking.trigger());
    });
    return () => {
      stop();
      asking.stop();
    };
  }, dependencies);
  return answered;
}
