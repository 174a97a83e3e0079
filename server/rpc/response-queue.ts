import type { StorageError } from '../errors.js';

/**
 * Responses on their way out. Short: a stream has one `opened`, one `committed`, and of acks only the newest waits,
 * so that a client that reads none of them costs nothing.
 */
export class ResponseQueue<T> implements AsyncIterable<T> {
  private readonly waiting: T[] = [];
  private ended = false;
  private failure: StorageError | undefined;
  private wake: (() => void) | undefined;

  push(response: T): void {
    this.waiting.push(response);
    this.wake?.();
  }

  /** In place of what waits last, where that says less than this one; else behind it. */
  replaceLast(response: T, saysLess: (last: T) => boolean): void {
    const last = this.waiting.at(-1);
    if (last !== undefined && saysLess(last)) this.waiting.pop();
    this.push(response);
  }

  /** No more will come. */
  end(): void {
    this.ended = true;
    this.wake?.();
  }

  /** No more will come; who reads gets the error behind what waits. */
  fail(error: StorageError): void {
    this.failure = error;
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const next = this.waiting.shift();
      if (next !== undefined) yield next;
      else if (this.failure !== undefined) throw this.failure;
      else if (this.ended) return;
      else await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}
