import { expect, test } from 'vitest';
import { SharedRead } from '../../server/manager/cache/shared-read.js';
import { ServedRows } from '../../server/manager/served-rows.js';
import type { Batch } from '../../server/rows/batch.js';

const BATCH: Batch = { firstRow: 0, rowCount: 0, columns: [] };

/** A read of some batches, the signal that it was given, and what it was at its end. */
function readOf(batchCount: number) {
  const seen: { signal?: AbortSignal; done: (readonly Batch[] | undefined)[] } = { done: [] };
  async function* rows() {
    for (let i = 0; i < batchCount; i++) yield await Promise.resolve(BATCH);
  }
  const read = new SharedRead(
    (signal) => {
      seen.signal = signal;
      return new ServedRows(() => 'primary', rows());
    },
    (batches) => seen.done.push(batches),
  );
  return { read, seen };
}

test('a read that came to its end is not given up when its last follower leaves', async () => {
  const { read, seen } = readOf(3);
  const followed: Batch[] = [];
  for await (const batch of read.follow(new AbortController().signal)) followed.push(batch);
  expect(followed).toHaveLength(3);
  expect(seen.done).toEqual([[BATCH, BATCH, BATCH]]);
  expect(seen.signal?.aborted).toBe(false);
});

test('a read that nobody follows any more is given up, and no longer joined', async () => {
  const { read, seen } = readOf(1000);
  const rows = read.follow(new AbortController().signal)[Symbol.asyncIterator]();
  await rows.next();
  await rows.return?.();
  expect(seen.signal?.reason).toMatchObject({ reason: 'CANCELLED' });
  expect(read.isAlive).toBe(false);
});
