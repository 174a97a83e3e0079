import { StorageError, toStorageError } from '../../errors.js';
import { SCRUB_FIRST_MS_MAX } from '../../limits.js';
import type { Stores } from '../stores.js';
import type { CheckedCopy } from './checked-copy.js';
import { machineClock, RatePace, type Clock } from './pace.js';
import { verifyResults } from './verify-results.js';

/** How the scrub runs. */
export interface ScrubOptions {
  /** From the end of a pass to the beginning of the next. */
  readonly intervalMs: number;
  readonly bytesPerSecond: number;
  /** Is told of each copy that is or was corrupt or missing. */
  readonly onFault?: ((fault: CheckedCopy) => void) | undefined;
  readonly clock?: Clock;
}

/** What the scrub did: see ScrubStatus in the contract. */
export interface ScrubCounts {
  /** When the last complete pass began and ended; undefined: none was completed. */
  readonly lastPass: { readonly startMs: number; readonly endMs: number } | undefined;
  readonly checkedCount: number;
  readonly faultCount: number;
  readonly repairedCount: number;
  /** Why the last pass did not come to its end; undefined: it did. */
  readonly failure: string | undefined;
}

/** Timers hold no more than 24 days: 2^31 ms. */
const SLEEP_MS_MAX = 24 * 24 * 3_600_000;

/**
 * Verifies everything again and again by itself, slowly, and repairs what it can. A pass that fails is tried again later;
 * nothing else fails with it.
 */
export class Scrub implements AsyncDisposable {
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>;
  private readonly clock: Clock;
  private lastPass: ScrubCounts['lastPass'];
  private checkedCount = 0;
  private faultCount = 0;
  private repairedCount = 0;
  private failure: string | undefined;

  /** Starts it; the first pass comes an hour later, or after the interval where that is shorter. */
  constructor(
    private readonly stores: Stores,
    private readonly options: ScrubOptions,
  ) {
    this.clock = options.clock ?? machineClock;
    // Only being stopped ends it.
    this.running = this.run().catch(() => undefined);
  }

  counts(): ScrubCounts {
    const { lastPass, checkedCount, faultCount, repairedCount, failure } = this;
    return { lastPass, checkedCount, faultCount, repairedCount, failure };
  }

  private async run(): Promise<never> {
    const { intervalMs } = this.options;
    const firstMs = Math.min(intervalMs, SCRUB_FIRST_MS_MAX);
    for (let waitMs = firstMs; ; waitMs = this.failure === undefined ? intervalMs : firstMs) {
      await this.sleep(waitMs);
      await this.pass();
    }
  }

  private async sleep(ms: number): Promise<void> {
    for (let leftMs = ms; leftMs > 0; leftMs -= SLEEP_MS_MAX)
      await this.clock.sleep(Math.min(leftMs, SLEEP_MS_MAX), this.stopping.signal);
  }

  /** Verifies everything once. */
  private async pass(): Promise<void> {
    const { signal } = this.stopping;
    const startMs = Date.now();
    const spec = { prefix: '', role: undefined, repair: this.stores.secondary !== undefined, isUnattended: true };
    try {
      const pace = new RatePace(this.options.bytesPerSecond, this.clock);
      for await (const copy of verifyResults(this.stores, spec, signal, pace)) this.count(copy);
      this.lastPass = { startMs, endMs: Date.now() };
      this.failure = undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      this.failure = toStorageError(error).message;
    }
  }

  private count(copy: CheckedCopy): void {
    this.checkedCount++;
    if (copy.state === 'ok') return;
    this.faultCount++;
    if (copy.state === 'repaired') this.repairedCount++;
    this.options.onFault?.(copy);
  }

  /** Stops it at once, in the middle of whatever it reads. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stopping.abort(new StorageError('SHUTTING_DOWN', 'The daemon is stopping.'));
    await this.running;
  }
}
