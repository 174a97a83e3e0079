import { effect, untracked, useSignal, type ReadonlySignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

/** While rows come, the worker is asked again after so many times what the last answer took. */
const REST = 3;
const REST_MS_MIN = 250;

/** What is known now; an answer stays until the next one is there. */
export interface Answered<Answer> {
  readonly answer: Answer | undefined;
  readonly failure: string | undefined;
}

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

class Asking<Answer> {
  private isBusy = false;
  private isStale = false;
  private isStopped = false;

  constructor(
    private readonly ask: () => Promise<Answer>,
    private readonly tell: (answered: Answered<Answer>) => void,
  ) {}

  trigger(): void {
    this.isStale = true;
    if (!this.isBusy) void this.go();
  }

  private async go(): Promise<void> {
    this.isBusy = true;
    while (this.isStale && !this.isStopped) {
      this.isStale = false;
      const startMs = performance.now();
      const answered = await this.answered();
      if (!this.isStopped) this.tell(answered);
      const restMs = Math.max(REST_MS_MIN, REST * (performance.now() - startMs));
      await new Promise((resolve) => setTimeout(resolve, restMs));
    }
    this.isBusy = false;
  }

  private async answered(): Promise<Answered<Answer>> {
    try {
      return { answer: await this.ask(), failure: undefined };
    } catch (error) {
      return { answer: undefined, failure: error instanceof Error ? error.message : String(error) };
    }
  }

  stop(): void {
    this.isStopped = true;
  }
}
