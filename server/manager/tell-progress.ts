import { setTimeout as sleep } from 'node:timers/promises';
import { StorageError } from '../errors.js';

/** How often long work tells how far it is. */
const PROGRESS_MS = 500;

/**
 * What long work tells, as it comes, and between that at least every second how far it is. The work goes on only while it is
 * listened to; left early, it is stopped: its signal is aborted with what `stopped` says, and it has ended when this has.
 */
export async function* tellProgress<T>(
  begin: (signal: AbortSignal) => AsyncIterable<T>,
  progress: () => T,
  stopped: string,
  signal: AbortSignal,
): AsyncGenerator<T> {
  const stopping = new AbortController();
  const work = begin(AbortSignal.any([signal, stopping.signal]))[Symbol.asyncIterator]();
  let next = work.next();
  try {
    for (;;) {
      const came = await Promise.race([next, sleep(PROGRESS_MS, undefined, { ref: false })]);
      if (came === undefined) yield progress();
      else if (came.done === true) return;
      else {
        yield came.value;
        next = work.next();
      }
    }
  } finally {
    stopping.abort(new StorageError('CANCELLED', stopped));
    // Its failure was thrown above, or nobody waits for it any more.
    await next.catch(() => undefined);
    await work.return?.();
  }
}
