import { describe, expect, it } from 'vitest';
import { UnackedRows } from '../../clients/typescript/unacked-rows.js';
import { EncodedMessage } from '../../server/rows/message-codec.js';

/** Ten rows a message, of 100 bytes together. */
function withMessages(count: number): { rows: UnackedRows; messages: EncodedMessage[] } {
  const rows = new UnackedRows();
  const messages = Array.from({ length: count }, () => new EncodedMessage(Buffer.alloc(1)));
  for (const [i, message] of messages.entries()) rows.push({ endRow: (i + 1) * 10, byteLength: 100, message });
  return { rows, messages };
}

describe('rows that are not acked', () => {
  it('are sent in their order, and count as unsent until then', () => {
    const { rows, messages } = withMessages(3);
    expect(rows.unsentBytes).toBe(300);
    expect([rows.next(), rows.next()]).toEqual(messages.slice(0, 2));
    expect(rows).toMatchObject({ byteLength: 300, unsentBytes: 100, hasUnsent: true });
    expect(rows.next()).toBe(messages[2]);
    expect(rows.next()).toBeUndefined();
    expect(rows).toMatchObject({ unsentBytes: 0, hasUnsent: false });
  });

  it('are kept until all rows of their message are durable', () => {
    const { rows, messages } = withMessages(3);
    rows.next();
    expect(rows.ackTo(9)).toEqual([]);
    expect(rows.ackTo(19)).toEqual([messages[0]]);
    expect(rows).toMatchObject({ count: 2, byteLength: 200, unsentBytes: 200 });
    expect(rows.next()).toBe(messages[1]);
  });

  it('are sent again from the first that is not durable, when another stream begins', () => {
    const { rows, messages } = withMessages(4);
    for (let i = 0; i < 3; i++) rows.next();
    rows.sendAgain();
    // The stream before had brought these.
    expect(rows.ackTo(20)).toEqual(messages.slice(0, 2));
    expect(rows).toMatchObject({ byteLength: 200, unsentBytes: 200 });
    expect([rows.next(), rows.next(), rows.next()]).toEqual([messages[2], messages[3], undefined]);
    expect(rows.ackTo(40)).toEqual(messages.slice(2));
    expect(rows).toMatchObject({ count: 0, byteLength: 0, unsentBytes: 0 });
  });
});
