/** While rows come, the worker is asked again after so many times what the last answer took. */
const REST = 3;
const REST_MS_MIN = 250;

/** What is known now; an answer stays until the next one is there. */
export interface Answered<Answer> {
  readonly answer: Answer | undefined;
  readonly failure: string | undefined;
}

/** Asks something again whenever it may have changed: one at a time, and with rests that grow with what an answer takes. */
export class Asking<Answer> {
  private isBusy = false;
  private isStale = false;
  private isStopped = false;

  constructor(
    private readonly ask: () => Promise<Answer>,
    private readonly tell: (answered: Answered<Answer>) => void,
  ) {}

  /** The answer may be another one now. */
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

  /** Nothing is told any more. */
  stop(): void {
    this.isStopped = true;
  }
}
