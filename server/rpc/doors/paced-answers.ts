import { StorageError } from '../../errors.js';
import { MESSAGES_WRITTEN_AHEAD } from '../../limits.js';

/** Where answers go: a call of grpc-js, or an HTTP response. Tells when the connection has taken one. */
export interface AnswerSink<T> {
  write(answer: T, onTaken: () => void): unknown;
}

/**
 * Writes answers at the pace of who reads them. The buffer of grpc-js has room for 16, which with batches of 1 MiB is
 * 16 MiB for each client that does not read; here MESSAGES_WRITTEN_AHEAD wait. Fails with STREAM_IDLE when none is
 * taken for `idleMs`; ends its source in any case. Returns early, with false, when the client is gone.
 */
export async function writeAtPace<T>(
  sink: AnswerSink<T>,
  answers: AsyncIterable<T>,
  gone: AbortSignal,
  idleMs: number,
): Promise<boolean> {
  let waiting = 0;
  let wake: () => void = () => undefined;
  // When the client is gone nothing is taken any more: waiting for that alone would leak the handler.
  gone.addEventListener('abort', () => wake(), { once: true });
  for await (const answer of answers) {
    if (gone.aborted) return false;
    waiting++;
    sink.write(answer, () => {
      waiting--;
      wake();
    });
    if (waiting < MESSAGES_WRITTEN_AHEAD) continue;
    let isIdle = false;
    const timer = setTimeout(() => {
      isIdle = true;
      wake();
    }, idleMs);
    await new Promise<void>((resolve) => (wake = resolve));
    clearTimeout(timer);
    if (isIdle) throw notRead(idleMs);
  }
  return !gone.aborted;
}

function notRead(idleMs: number): StorageError {
  return new StorageError(
    'STREAM_IDLE',
    `Nothing of the answer was read for ${idleMs / 1000} s. Call again, and go on behind what has arrived.`,
  );
}
