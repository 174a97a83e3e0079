/** Told when an upload has changed: one bell an upload, so that nobody is woken for others' rows. */
export class UploadBells {
  private readonly listeners = new Map<string, Set<UploadListener>>();

  /** Wakes all who listen for an upload. */
  ring(uploadId: string): void {
    for (const listener of this.listeners.get(uploadId) ?? []) listener.ring();
  }

  /** Listens for an upload, until it is disposed of. */
  listen(uploadId: string): UploadListener & Disposable {
    const listener = new UploadListener();
    const all = this.listeners.get(uploadId) ?? new Set();
    this.listeners.set(uploadId, all.add(listener));
    return Object.assign(listener, {
      [Symbol.dispose]: () => {
        all.delete(listener);
        if (all.size === 0) this.listeners.delete(uploadId);
      },
    });
  }
}

/** Hears of an upload; a ring that comes while nobody waits is not lost. */
export class UploadListener {
  private wasRung = false;
  private wake: (() => void) | undefined;

  ring(): void {
    this.wasRung = true;
    this.wake?.();
  }

  /** Resolves when it was rung since the last wait, after a time in milliseconds, or when the signal is aborted. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.wasRung && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        const timer = setTimeout(wake, ms);
        signal.addEventListener('abort', wake, { once: true });
        this.wake = wake;
      });
    }
    this.wasRung = false;
    this.wake = undefined;
  }
}
