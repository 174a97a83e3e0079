/** Messages that may wait: one is being sent while the next one is there. */
const WAITING_MAX = 2;

/** Messages that are written here, and pulled by who sends them, at the pace of the network. Iterated once. */
export class SentMessages<Sent> implements AsyncIterableIterator<Sent> {
  private waiting: Sent[] = [];
  private isEnded = false;
  private wakeReader: () => void = () => undefined;
  private wakeWriters: (() => void)[] = [];

  /** Adds a message; false where the next one is to wait for `drained`. What comes behind the end is passed over. */
  write(message: Sent): boolean {
    if (this.isEnded) return true;
    this.waiting.push(message);
    this.wakeReader();
    return this.hasRoom;
  }

  /** Resolves when there is room, or nothing is taken any more. */
  async drained(): Promise<void> {
    while (!this.hasRoom) await new Promise<void>((resolve) => this.wakeWriters.push(resolve));
  }

  /** Nothing more comes: it ends behind what waits. */
  end(): void {
    this.isEnded = true;
    this.wakeReader();
  }

  /** Ends it at once, and forgets what waits. */
  cut(): void {
    this.waiting = [];
    this.end();
    this.toldWriters();
  }

  async next(): Promise<IteratorResult<Sent, undefined>> {
    while (this.waiting.length === 0 && !this.isEnded)
      await new Promise<void>((resolve) => (this.wakeReader = resolve));
    const message = this.waiting.shift();
    this.toldWriters();
    return message === undefined ? { done: true, value: undefined } : { done: false, value: message };
  }

  /** Who sends takes no more. */
  return(): Promise<IteratorResult<Sent, undefined>> {
    this.cut();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Who sends has failed. Connect asks for it. */
  throw(error: unknown): Promise<never> {
    this.cut();
    return Promise.reject(error instanceof Error ? error : new Error(String(error)));
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private get hasRoom(): boolean {
    return this.waiting.length < WAITING_MAX;
  }

  private toldWriters(): void {
    if (this.hasRoom) for (const wake of this.wakeWriters.splice(0)) wake();
  }
}
