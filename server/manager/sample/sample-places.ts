import { SAMPLES_CHOSEN_AT_ONCE_MAX } from '../../limits.js';

let taken = 0;
const waiting = new Set<() => void>();

/** Does something once there is a place to choose a sample, in the order in which places were asked for; who goes waits no longer. */
export async function withSamplePlace<Result>(signal: AbortSignal, choose: () => Promise<Result>): Promise<Result> {
  if (taken >= SAMPLES_CHOSEN_AT_ONCE_MAX) await place(signal);
  else taken++;
  try {
    return await choose();
  } finally {
    const [next] = waiting;
    // The place is handed on: it stays taken.
    if (next !== undefined) next();
    else taken--;
  }
}

function place(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      waiting.delete(begin);
      signal.removeEventListener('abort', goAway);
    };
    const begin = () => {
      end();
      resolve();
    };
    const goAway = () => {
      end();
      reject(signal.reason as Error);
    };
    signal.throwIfAborted();
    waiting.add(begin);
    signal.addEventListener('abort', goAway);
  });
}
