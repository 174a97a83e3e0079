import { effect, signal, type ReadonlySignal } from '@preact/signals';

/** A browser has six connections to a daemon: a page that nobody looks at lets its own go after this long. */
const HIDDEN_MS_MAX = 60_000;

const resting = signal(false);

/** Whether nobody looks at the page: what stays open otherwise is let go of. */
export const isResting: ReadonlySignal<boolean> = resting;

/** Keeps `isResting` true to what is looked at. */
export function restWhileHidden(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer);
    if (document.visibilityState === 'visible') resting.value = false;
    else timer = setTimeout(() => (resting.value = true), HIDDEN_MS_MAX);
  });
}

/** A signal that ends what it is given to once nobody looks; disposed of when that has ended by itself. */
export function whileLookedAt(): { readonly signal: AbortSignal; [Symbol.dispose](): void } {
  const ending = new AbortController();
  const stop = effect(() => {
    if (resting.value) ending.abort();
  });
  return { signal: ending.signal, [Symbol.dispose]: stop };
}
