import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { join } from 'node:path';
import { Journal } from '../../server/backends/leveldb/journal.js';
import { schemaOf } from '../../server/rows/batch.js';
import { asText, LINE, lineRows } from './runs.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'optistore-journal-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

/** Lets the next syncs of any file fail. */
async function failSyncs(count: number): Promise<void> {
  await using some = await open(folder, 'r');
  const handle = Object.getPrototypeOf(some) as typeof some;
  const datasync = vi.spyOn(handle, 'datasync');
  for (let i = 0; i < count; i++)
    datasync.mockRejectedValueOnce(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }));
}

test.each([
  { what: 'is answered by another file', syncs: 1 },
  { what: 'and can begin no other file is told, and the next one is answered by another file', syncs: 2 },
])('a sync of the journal that fails $what, which has the rows of all uploads', async ({ syncs }) => {
  const { journal } = await Journal.open(folder, () => false);
  await using closing = journal;
  const frames = [await closing.append(1, lineRows(0, 3)), await closing.append(2, lineRows(0, 4, 2))];
  const before = await readdir(folder);
  await failSyncs(syncs);
  if (syncs > 1) await expect(closing.sync()).rejects.toMatchObject({ reason: 'BACKEND_UNAVAILABLE' });
  await closing.sync();
  const after = await readdir(folder);
  expect(after).toHaveLength(1);
  expect(after).not.toEqual(before);
  const rows = await closing.read(frames, schemaOf(LINE.variables));
  expect(rows.map(asText)).toEqual([lineRows(0, 3), lineRows(0, 4, 2)].map(asText));
});
