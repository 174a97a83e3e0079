import { expect, test } from 'vitest';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import type { Disk } from '../../server/backends/room/disk.js';
import { withRoom } from '../../server/backends/room/with-room.js';
import { StorageError } from '../../server/errors.js';
import { lineRows, RUNNING, save } from './runs.js';

const GIB = 1024 ** 3;

/** A store of a result on a disk that says that it is full when the result is changed. */
class FullAtChanges extends MemoryBackend {
  override annotate(): Promise<never> {
    return Promise.reject(new StorageError('DISK_FULL', 'No space left on device.'));
  }
}

/** What a change is refused with. */
async function refusal(disk: Disk): Promise<unknown> {
  await using store = withRoom(new FullAtChanges({ max_memory_mb: 8 }), {
    disk: () => Promise.resolve(disk),
    reclaim: () => Promise.resolve(),
    ...{ quotaBytes: undefined, ballast: undefined },
  });
  // Rows are refused before the disk is full.
  if (disk.freeBytes > GIB) await save(store, 'run', [lineRows(0, 3)]);
  return await store.annotate('run', undefined, () => undefined, RUNNING).catch((error: unknown) => error);
}

test('a change that a full disk refuses is told what is free, and not how much it wants, which nobody knows', async () => {
  expect(await refusal({ freeBytes: 1000, totalBytes: 100 * GIB })).toMatchObject({
    reason: 'DISK_FULL',
    metadata: { free_bytes: '1000', reserved_bytes: String(GIB / 16) },
    message: expect.stringMatching(/full: 1000 bytes are free, .*deletions\. Nothing .*, then try again\.$/) as string,
  });
});

test('a disk that refuses a change though it has room is told with where else to look', async () => {
  const error = await refusal({ freeBytes: 50 * GIB, totalBytes: 100 * GIB });
  expect(error).toMatchObject({
    reason: 'DISK_FULL',
    message: expect.stringMatching(/quotas and at inodes/) as string,
  });
  expect((error as StorageError).metadata).not.toHaveProperty('wanted_bytes');
});
