import type { StorageError } from '../errors.js';

/**
 * Responses on their way out. Short by nature: a stream has one `opened`, one `committed`, and one ack for
 * each sync, of which one runs at a time.
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
