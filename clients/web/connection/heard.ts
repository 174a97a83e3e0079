import { Code } from '@connectrpc/connect';
import { OptistoreError } from '../../typescript/errors.js';

/** On streams of events and of followed rows the daemon says something every 15 s: with nothing for this long the connection is dead. */
export const SILENCE_MS_MAX = 40_000;

/**
 * The messages of a stream. Fails as one that is unavailable where none comes for too long: a connection that broke without a word,
 * as when a computer slept, would be waited for for ever. Times that the reader takes are not counted.
 */
export async function* heard<Message>(
  open: (signal: AbortSignal) => AsyncIterable<Message>,
  signal: AbortSignal,
  firstWordMsMax = SILENCE_MS_MAX,
): AsyncGenerator<Message> {
  const silence = new AbortController();
  const messages = open(AbortSignal.any([signal, silence.signal]))[Symbol.asyncIterator]();
  let withinMs = firstWordMsMax;
  try {
    for (;;) {
      const timer = setTimeout(() => silence.abort(), withinMs);
      const next = await messages.next().finally(() => clearTimeout(timer));
      if (next.done === true) return;
      withinMs = SILENCE_MS_MAX;
      yield next.value;
    }
  } catch (error) {
    if (!silence.signal.aborted) throw error;
    throw new OptistoreError('The daemon says nothing any more.', Code.Unavailable, undefined, {}, { cause: error });
  } finally {
    // Also where the reader has left: the daemon is not to send on.
    silence.abort();
  }
}
