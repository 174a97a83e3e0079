import { setTimeout as delay } from 'node:timers/promises';

/** Time as the scrub sees it; a test has one of its own. */
export interface Clock {
  /** Milliseconds that only grow. */
  nowMs(): number;
  /** Rejects when the signal is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** The machine's clock. Who sleeps by it does not keep the process alive. */
export const machineClock: Clock = {
  nowMs: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, { signal, ref: false }),
};

/** What was read is told to it; it resolves when there may be more. */
export interface Pace {
  took(byteLength: number, signal: AbortSignal): Promise<void>;
}

/** For who reads as fast as the store gives. */
export const UNHURRIED: Pace = { took: () => Promise.resolve() };

/** Time that was not used for reading is made up for, but no more of it than this: no burst after a pause. */
const CREDIT_MS_MAX = 1000;
/** Shorter sleeps are saved up: timers are not that exact. */
const SLEEP_MS_MIN = 20;

/** Keeps what is read under so many bytes a second, by sleeping in proportion to it. */
export class RatePace implements Pace {
  private dueMs: number | undefined;

  constructor(
    private readonly bytesPerSecond: number,
    private readonly clock: Clock,
  ) {}

  async took(byteLength: number, signal: AbortSignal): Promise<void> {
    const nowMs = this.clock.nowMs();
    const earliestMs = Math.max(this.dueMs ?? nowMs, nowMs - CREDIT_MS_MAX);
    this.dueMs = earliestMs + (byteLength / this.bytesPerSecond) * 1000;
    const aheadMs = this.dueMs - nowMs;
    if (aheadMs >= SLEEP_MS_MIN) await this.clock.sleep(aheadMs, signal);
  }
}
