import { setTimeout as sleep } from 'node:timers/promises';

const FIRST_MS = 50;
const LONGEST_MS = 2000;

/** Waits longer after each failure, with jitter so that many clients do not come back at once. */
export class Backoff {
  private failures = 0;
  private sinceMs: number | undefined;

  constructor(private readonly giveUpMs: number) {}

  /** Forgets earlier failures. */
  succeeded(): void {
    this.failures = 0;
    this.sinceMs = undefined;
  }

  /** Waits before the next try; throws the error when it has failed for too long. */
  async failed(error: Error): Promise<void> {
    this.sinceMs ??= Date.now();
    if (Date.now() - this.sinceMs >= this.giveUpMs) throw error;
    const longest = Math.min(FIRST_MS * 2 ** this.failures++, LONGEST_MS);
    await sleep(longest * (0.5 + Math.random() / 2));
  }
}
