import { StorageError, throwIfCancelled, toStorageError } from '../../errors.js';
import type { Batch } from '../../rows/batch.js';
import type { ServedRows } from '../served-rows.js';
import type { Role } from '../stores.js';

/**
 * One read that several loads follow, each at its own pace. It reads on while anyone follows, and holds all
 * that it has read, so only what fits the cache is read in this way.
 */
export class SharedRead {
  readonly batches: Batch[] = [];
  private readonly rows: ServedRows;
  private readonly abandoned = new AbortController();
  private followerCount = 0;
  private isDone = false;
  private failure: StorageError | undefined;
  private wakers: (() => void)[] = [];

  /** `done` is told all batches when the read came to its end, undefined when it did not. */
  constructor(
    start: (signal: AbortSignal) => ServedRows,
    private readonly done: (batches: readonly Batch[] | undefined) => void,
  ) {
    this.rows = start(this.abandoned.signal);
    void this.pump();
  }

  /** Who serves, as far as is known. */
  get servedFrom(): Role {
    return this.rows.servedFrom;
  }

  private async pump(): Promise<void> {
    try {
      for await (const batch of this.rows) {
        this.batches.push(batch);
        this.wake();
      }
      this.isDone = true;
    } catch (error) {
      this.failure = toStorageError(error);
    }
    this.done(this.isDone ? this.batches : undefined);
    this.wake();
  }

  private wake(): void {
    for (const wake of this.wakers.splice(0)) wake();
  }

  /** Whether it can still be joined: it was not given up for want of followers. */
  get isAlive(): boolean {
    return !this.abandoned.signal.aborted;
  }

  /** Follows the read from its beginning. */
  follow(signal: AbortSignal): AsyncIterable<Batch> {
    // Counted here, not at the first pull: a read whose only other follower leaves now must go on.
    this.followerCount++;
    return this.followed(signal);
  }

  private async *followed(signal: AbortSignal): AsyncGenerator<Batch> {
    const wakeNow = () => this.wake();
    signal.addEventListener('abort', wakeNow, { once: true });
    try {
      for (let i = 0; ; i++) {
        while (i >= this.batches.length && !this.isDone && this.failure === undefined) {
          throwIfCancelled(signal);
          await new Promise<void>((resolve) => this.wakers.push(resolve));
        }
        throwIfCancelled(signal);
        const batch = this.batches[i];
        if (batch !== undefined) yield batch;
        else if (this.failure !== undefined) throw this.failure;
        else return;
      }
    } finally {
      signal.removeEventListener('abort', wakeNow);
      const isRead = this.isDone || this.failure !== undefined;
      if (--this.followerCount === 0 && !isRead)
        this.abandoned.abort(new StorageError('CANCELLED', 'Nobody reads any more.'));
    }
  }
}
