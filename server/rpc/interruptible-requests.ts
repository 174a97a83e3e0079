import { StorageError } from '../errors.js';

/** Requests of a stream, which can be interrupted from outside while the next one is awaited, and by silence. */
export class InterruptibleRequests<T> implements Disposable {
  private readonly iterator: AsyncIterator<T>;
  private interruption: StorageError | undefined;
  private rejectNext: ((error: StorageError) => void) | undefined;
  private idleTimer: NodeJS.Timeout | undefined;

  constructor(
    requests: AsyncIterable<T>,
    private readonly idleTimeoutMs: number,
  ) {
    this.iterator = requests[Symbol.asyncIterator]();
  }

  /** The next request; undefined at the end. Rejects with what interrupted it, or STREAM_IDLE. */
  async next(): Promise<T | undefined> {
    this.throwIfInterrupted();
    // One timer that is put off, not one a message.
    this.idleTimer ??= setTimeout(() => this.interrupt(idle(this.idleTimeoutMs)), this.idleTimeoutMs);
    this.idleTimer.refresh();
    try {
      // Not Promise.race: it would leave a reaction on a promise that lives as long as the stream.
      const result = await new Promise<IteratorResult<T>>((resolve, reject) => {
        this.rejectNext = reject;
        this.iterator.next().then(resolve, reject);
      });
      if (result.done === true) clearTimeout(this.idleTimer);
      return result.done === true ? undefined : result.value;
    } finally {
      this.rejectNext = undefined;
    }
  }

  /** Makes `next` reject, now and from now on. The first reason stands. */
  interrupt(error: StorageError): void {
    this.interruption ??= error;
    clearTimeout(this.idleTimer);
    this.rejectNext?.(this.interruption);
  }

  /** No more are asked for: nothing of them is held any longer. */
  [Symbol.dispose](): void {
    clearTimeout(this.idleTimer);
  }

  throwIfInterrupted(): void {
    if (this.interruption !== undefined) throw this.interruption;
  }
}

function idle(timeoutMs: number): StorageError {
  return new StorageError(
    'STREAM_IDLE',
    `Nothing came for ${timeoutMs / 1000} s. The upload stays open: open it again when there are rows to send.`,
  );
}
