import { effect } from '@preact/signals';

/**
 * How long to wait for the next try, after so many that failed one after the other: the first time, then twice as long each, up to
 * the longest. A random part of a quarter is left out, so that many pages do not come back at once.
 */
export function retryDelayMs(failures: number, firstMs: number, longestMs: number): number {
  return Math.min(firstMs * 2 ** failures, longestMs) * (0.75 + Math.random() / 4);
}

/** Waits for a time, or until the signal is aborted; never rejects. */
export function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, delayMs);
    signal.addEventListener('abort', done);
  });
}

/** Resolves once a condition on signals holds. */
export function until(holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const stop: { now?: () => void } = {};
    stop.now = effect(() => {
      if (!holds()) return;
      resolve();
      // The first run of an effect comes before its end is known.
      queueMicrotask(() => stop.now?.());
    });
  });
}
