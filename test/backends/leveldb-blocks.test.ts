import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openLeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { BLOCK_BYTES_AT_SYNC_MIN } from '../../server/limits.js';
import { asText, commit, lineRows, load, RUNNING, uploadSpec } from './runs.js';

const ROW_BYTES = 16;
const ENOUGH_ROWS = BLOCK_BYTES_AT_SYNC_MIN / ROW_BYTES;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'optistore-blocks-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Bytes of the files in a folder of the store. */
async function bytesOf(name: string): Promise<number> {
  const files = await readdir(join(folder, name));
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(folder, name, file))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

test.each([
  { rowCount: ENOUGH_ROWS - 1, what: 'wait in the journal, to be gathered', isJournaled: true },
  { rowCount: ENOUGH_ROWS, what: 'are a block, written once', isJournaled: false },
])('$rowCount rows that have to be durable $what', async ({ rowCount, isJournaled }) => {
  await using backend = await openLeveldbBackend({ path: folder });
  await using upload = await backend.openUpload(uploadSpec('a', 'run'), RUNNING);
  await upload.append(lineRows(0, rowCount));
  expect(await upload.sync()).toBe(rowCount);
  const bytes = { journal: await bytesOf('journal'), segments: await bytesOf('segments') };
  const [written, other] = isJournaled ? [bytes.journal, bytes.segments] : [bytes.segments, bytes.journal];
  expect(written).toBeGreaterThanOrEqual(rowCount * ROW_BYTES);
  expect(other).toBeLessThan(1000);
});

test('a block of rows that came in large and small batches, some of which waited in the journal, has them in order', async () => {
  await using backend = await openLeveldbBackend({ path: folder });
  await using upload = await backend.openUpload(uploadSpec('a', 'run'), RUNNING);
  const counts = [8000, 1, 6000, 8000, 20, 12_000, 9000, 9000, 9000, 30_000, 7];
  let nextRow = 0;
  for (const [i, rowCount] of counts.entries()) {
    await upload.append(lineRows(nextRow, rowCount));
    nextRow += rowCount;
    if (i % 4 === 1) expect(await upload.sync()).toBe(nextRow);
  }
  const manifest = await commit(upload);
  expect(asText(await load(backend, manifest))).toEqual(asText(lineRows(0, nextRow)));
});
