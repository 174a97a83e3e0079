import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { StorageError } from '../../server/errors.js';
import { InterruptibleRequests } from '../../server/rpc/interruptible-requests.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

async function* requests(): AsyncGenerator<number> {
  yield 1;
  await new Promise(() => undefined);
}

test('silence ends a stream, and an interruption does; the first reason stands', async () => {
  const stream = new InterruptibleRequests(requests(), 1000);
  expect(await stream.next()).toBe(1);
  const next = expect(stream.next()).rejects.toMatchObject({ reason: 'STREAM_IDLE' });
  await vi.advanceTimersByTimeAsync(1000);
  await next;
  stream.interrupt(new StorageError('CANCELLED', 'gone'));
  await expect(stream.next()).rejects.toMatchObject({ reason: 'STREAM_IDLE' });
});

test('no timer holds requests of which no more are asked for', async () => {
  const stream = new InterruptibleRequests(requests(), 1000);
  await stream.next();
  expect(vi.getTimerCount()).toBe(1);
  stream[Symbol.dispose]();
  expect(vi.getTimerCount()).toBe(0);
});
