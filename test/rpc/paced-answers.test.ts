import { setImmediate as immediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { MESSAGES_WRITTEN_AHEAD } from '../../server/limits.js';
import { writeAtPace } from '../../server/rpc/doors/paced-answers.js';

/** More than any test takes. */
const NEVER_MS = 3_600_000;

/** Answers without end, and how many were made; and whether their source was let go. */
class Source implements AsyncIterable<number> {
  made = 0;
  hasEnded = false;

  async *[Symbol.asyncIterator](): AsyncGenerator<number> {
    try {
      for (;;) yield this.made++;
    } finally {
      this.hasEnded = true;
    }
  }
}

/** Where answers stay until they are taken. */
class StoppedReader {
  readonly waiting: (() => void)[] = [];

  write(_: number, onTaken: () => void): void {
    this.waiting.push(onTaken);
  }
}

/** Long enough for all that waits for nothing from outside. */
async function settled(): Promise<void> {
  for (let turns = 0; turns < 50; turns++) await immediate();
}

describe('answers', () => {
  test('are made no faster than they are read: a few wait, and each that is taken lets one follow', async () => {
    const [source, reader, gone] = [new Source(), new StoppedReader(), new AbortController()];
    void writeAtPace(reader, source, gone.signal, NEVER_MS);
    await settled();
    expect(source.made).toBe(MESSAGES_WRITTEN_AHEAD);
    for (let taken = 1; taken <= 3; taken++) {
      reader.waiting.shift()?.();
      await settled();
      expect(source.made).toBe(MESSAGES_WRITTEN_AHEAD + taken);
    }
    gone.abort();
  });

  test('are not waited for when their client is gone: who made them is let go at once', async () => {
    const [source, reader, gone] = [new Source(), new StoppedReader(), new AbortController()];
    const written = writeAtPace(reader, source, gone.signal, NEVER_MS);
    await settled();
    expect(source.hasEnded).toBe(false);
    // What was written is never taken: the connection is not there any more.
    gone.abort();
    await settled();
    expect(source.hasEnded).toBe(true);
    expect(await written).toBe(false);
  });

  test('of which nothing is read for too long end with STREAM_IDLE, and let go of who made them', async () => {
    const source = new Source();
    const written = writeAtPace(new StoppedReader(), source, new AbortController().signal, 1);
    await expect(written).rejects.toMatchObject({ reason: 'STREAM_IDLE' });
    expect(source.hasEnded).toBe(true);
  });
});
