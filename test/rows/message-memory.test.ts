import { describe, expect, it } from 'vitest';
import { MessageMemory } from '../../server/rows/message-memory.js';

const PIECE_BYTES = 16_384;

describe('memory of messages', () => {
  it('is used again once it is given back, by messages of about that size only', () => {
    const memory = new MessageMemory(PIECE_BYTES, 4 * PIECE_BYTES);
    const first = memory.take(10_000);
    expect(first.byteLength).toBe(10_000);
    expect(memory.take(10_000).buffer).not.toBe(first.buffer);
    memory.give(first);
    // A quarter of it would hold what it does not use.
    expect(memory.take(4000).buffer).not.toBe(first.buffer);
    const again = memory.take(PIECE_BYTES);
    expect(again.buffer).toBe(first.buffer);
    expect(again.byteLength).toBe(PIECE_BYTES);
  });

  it.each([PIECE_BYTES, 5000, 2049])('of a message of %i bytes is at most twice its size', (byteLength) => {
    const { buffer } = new MessageMemory(PIECE_BYTES, PIECE_BYTES).take(byteLength);
    expect(buffer.byteLength).toBeGreaterThanOrEqual(byteLength);
    expect(buffer.byteLength).toBeLessThan(byteLength * 2);
  });

  it('that nobody uses is bounded by its bytes, whatever the size of the messages: what lay longest goes', () => {
    const memory = new MessageMemory(PIECE_BYTES, 2 * PIECE_BYTES);
    const large = [0, 1].map(() => memory.take(PIECE_BYTES));
    const small = [0, 1, 2].map(() => memory.take(PIECE_BYTES / 4));
    for (const bytes of [...large, ...small]) memory.give(bytes);
    // The first large one made room for the small ones.
    expect(memory.take(PIECE_BYTES).buffer).toBe(large[1]?.buffer);
    expect(large.some((bytes) => bytes.buffer === memory.take(PIECE_BYTES).buffer)).toBe(false);
    const taken = new Set(small.map(() => memory.take(PIECE_BYTES / 4).buffer));
    expect(taken).toEqual(new Set(small.map((bytes) => bytes.buffer)));
  });

  it('neither takes up what it did not give, nor gives the same twice', () => {
    const memory = new MessageMemory(PIECE_BYTES, 4 * PIECE_BYTES);
    for (const byteLength of [10, PIECE_BYTES + 1]) {
      const bytes = memory.take(byteLength);
      expect(bytes.byteLength).toBe(byteLength);
      memory.give(bytes);
      expect(memory.take(PIECE_BYTES).buffer).not.toBe(bytes.buffer);
    }
    const own = memory.take(PIECE_BYTES);
    memory.give(own);
    expect(memory.take(PIECE_BYTES).buffer).not.toBe(memory.take(PIECE_BYTES).buffer);
  });
});
