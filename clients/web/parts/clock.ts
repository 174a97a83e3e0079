import { signal, type ReadonlySignal } from '@preact/signals';

const ticking = signal(Date.now());

/** The time in ms since 1970, once a second while the page is looked at. */
export const nowMs: ReadonlySignal<number> = ticking;

setInterval(() => {
  if (document.visibilityState === 'visible') ticking.value = Date.now();
}, 1000);
document.addEventListener('visibilitychange', () => (ticking.value = Date.now()));
