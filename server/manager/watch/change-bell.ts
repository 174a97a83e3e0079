/** Rung when something may have changed; who waits looks then, and now and then without it. */
export class ChangeBell {
  private readonly waiters = new Set<() => void>();

  /** Wakes all who wait. */
  ring(): void {
    for (const wake of [...this.waiters]) wake();
  }

  /** Resolves at the next ring, after a time in milliseconds, or when the signal is aborted. */
  wait(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.waiters.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.waiters.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}
