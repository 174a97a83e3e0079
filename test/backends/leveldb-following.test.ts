import { mkdir, mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openLeveldbBackend, type LeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { Journal } from '../../server/backends/leveldb/journal.js';
import { JOURNAL_ROTATE_BYTES } from '../../server/limits.js';
import { schemaOf } from '../../server/rows/batch.js';
import { all, asText, LINE, lineRows, RUNNING, uploadSpec } from './runs.js';

const SCHEMA = schemaOf(LINE.variables);

let path: string;
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'optistore-following-'));
});
afterEach(() => rm(path, { recursive: true }));

/** Changes a byte of the only file of a folder, counted from its end. */
async function damage(folder: string, fromEnd: number): Promise<void> {
  const [name = ''] = await readdir(join(path, folder));
  await using file = await open(join(path, folder, name), 'r+');
  const at = (await file.stat()).size - fromEnd;
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
  await file.write(Buffer.of((buffer[0] ?? 0) ^ 1), 0, 1, at);
}

async function read(backend: LeveldbBackend) {
  const view = await backend.viewUpload('u');
  if (view.state !== 'open') throw new Error(`the upload is ${view.state}`);
  return all(view.read({ columns: [0, 1], firstRow: 0 }, RUNNING));
}

test.each([
  ['the journal', 'journal', 100],
  ['the segment that is being written', 'segments', 100_000],
] as const)('a damaged byte in %s is RESULT_CORRUPT to who reads along', async (_, folder, rowCount) => {
  await using backend = await openLeveldbBackend({ path });
  await using upload = await backend.openUpload(uploadSpec('k', 'u'));
  await upload.append(lineRows(0, rowCount));
  await upload.sync();
  expect(asText((await read(backend))[0])).toEqual(asText(lineRows(0, rowCount)));
  await damage(folder, 500);
  await expect(read(backend)).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
});

test('frames are read beside writers while the journal starts new files; one that is released is no longer given', async () => {
  await mkdir(join(path, 'journal'));
  const opened = await Journal.open(join(path, 'journal'), () => false);
  await using journal = opened.journal;
  const kept = await journal.append(1, lineRows(0, 10));
  const large = lineRows(0, 100_000);
  let isDone = false;
  const writing = (async () => {
    for (let bytes = 0; bytes < JOURNAL_ROTATE_BYTES * 2.2; bytes += 1_600_000)
      journal.release([await journal.append(2, large)]);
  })().finally(() => (isDone = true));
  let readCount = 0;
  while (!isDone) {
    expect(asText(await journal.readBeside(kept, SCHEMA))).toEqual(asText(lineRows(0, 10)));
    readCount++;
  }
  await writing;
  expect(readCount).toBeGreaterThan(10);
  expect(await readdir(join(path, 'journal'))).not.toContain('00000001.journal');
  expect(asText(await journal.readBeside(kept, SCHEMA))).toEqual(asText(lineRows(0, 10)));
  journal.release([kept]);
  expect(await journal.readBeside(kept, SCHEMA)).toBeUndefined();
});
