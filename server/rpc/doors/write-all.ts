import { once, type EventEmitter } from 'node:events';

/** What answers are written to; it says by `drain` that there is room again. */
export interface Sink<T> extends EventEmitter {
  write(answer: T): boolean;
}

/**
 * Writes what comes at the pace of the client; ends the source when the client goes away. True when all was written,
 * and the sink is to be ended.
 */
export async function writeAll<T>(sink: Sink<T>, answers: AsyncIterable<T>, gone: AbortSignal): Promise<boolean> {
  for await (const answer of answers) {
    if (gone.aborted) return false;
    // A drain never comes when the client is gone: waiting for it alone would leak the handler.
    if (!sink.write(answer)) await once(sink, 'drain', { signal: gone }).catch(() => undefined);
  }
  return !gone.aborted;
}
