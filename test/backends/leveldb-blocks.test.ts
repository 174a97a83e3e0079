import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openLeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { BUSY_BLOCK_BYTES_MIN, INGEST_BYTES_MAX } from '../../server/limits.js';
import { asText, commit, lineRows, load, uploadSpec } from './runs.js';

const ROW_BYTES = 16;
const ENOUGH_ROWS = BUSY_BLOCK_BYTES_MIN / ROW_BYTES;
/** Uploads that each hold less than a block: more than a quarter of what all may hold. */
const OTHERS = Math.floor(INGEST_BYTES_MAX / 4 / (4 * BUSY_BLOCK_BYTES_MIN)) + 1;

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
  { rowCount: ENOUGH_ROWS, others: 0, what: 'wait in the journal, to be gathered', isJournaled: true },
  { rowCount: ENOUGH_ROWS - 1, others: OTHERS, what: 'wait in the journal, to be gathered', isJournaled: true },
  { rowCount: ENOUGH_ROWS, others: OTHERS, what: 'are a block, written once', isJournaled: false },
])('$rowCount rows that have to be durable beside $others uploads $what', async ({ rowCount, others, isJournaled }) => {
  await using backend = await openLeveldbBackend({ path: folder });
  for (let i = 0; i < others; i++) {
    const other = await backend.openUpload(uploadSpec(`other-${i}`, `other-${i}`));
    for (let batch = 0; batch < 4; batch++) await other.append(lineRows(batch * ENOUGH_ROWS, ENOUGH_ROWS));
  }
  await using upload = await backend.openUpload(uploadSpec('a', 'run'));
  await upload.append(lineRows(0, rowCount));
  expect(await upload.sync()).toBe(rowCount);
  const bytes = { journal: await bytesOf('journal'), segments: await bytesOf('segments') };
  const [written, other] = isJournaled ? [bytes.journal, bytes.segments] : [bytes.segments, bytes.journal];
  expect(written).toBeGreaterThanOrEqual(rowCount * ROW_BYTES);
  expect(other).toBeLessThan(1000);
});

test('a block of rows that came in large and small batches, some of which waited in the journal, has them in order', async () => {
  await using backend = await openLeveldbBackend({ path: folder });
  await using upload = await backend.openUpload(uploadSpec('a', 'run'));
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
