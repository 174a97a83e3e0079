import type { Logger } from 'pino';
import { StorageError, toStorageError } from '../../errors.js';

/** What all calls of a door share. */
export interface Surroundings {
  readonly log: Logger;
  /** Aborted when the daemon stops. */
  readonly draining: AbortSignal;
}

/** One call at whichever door: whether it is let in, what it failed with, and its line in the log. */
export class ServedCall {
  private readonly startedMs = performance.now();
  private failure: StorageError | undefined;

  constructor(
    private readonly door: Surroundings,
    /** The rpc's name. */
    private readonly method: string,
    /** The other end, as the log names it. */
    private readonly peer: string,
  ) {}

  /** Refuses new calls while the daemon stops: SHUTTING_DOWN. */
  admit(): void {
    if (this.door.draining.aborted)
      throw new StorageError('SHUTTING_DOWN', 'The daemon is stopping. Try again in a moment.');
  }

  /** What the client is told of what was thrown. A defect goes to the log. */
  fail(error: unknown): StorageError {
    this.failure = toStorageError(error);
    if (this.failure.reason === 'INTERNAL') this.door.log.error({ err: error }, 'a defect');
    return this.failure;
  }

  /** Writes the call's line. */
  end(): void {
    const { method, peer, failure } = this;
    const durationMs = Math.round((performance.now() - this.startedMs) * 10) / 10;
    const failed = failure && { reason: failure.reason, error: failure.message };
    this.door.log.info({ method, peer, durationMs, ...failed }, 'call');
  }
}
