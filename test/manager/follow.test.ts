import { setImmediate as immediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { followUpload, type FollowEvent, type FollowSpec } from '../../server/manager/follow/follow-upload.js';
import { gathered } from '../../server/manager/follow/gathered.js';
import { Origins } from '../../server/manager/origins.js';
import { UploadBells } from '../../server/manager/follow/upload-bells.js';
import { schemaOf } from '../../server/rows/batch.js';
import { all, asText, commit, LINE, lineRows, RUNNING, uploadSpec } from '../backends/runs.js';

const HOUR_MS = 3_600_000;
const SPEC: FollowSpec = { key: 'k', uploadId: undefined, columns: [], firstRow: 0, batchBytes: 1 << 20 };

async function follow(backend: MemoryBackend, bells: UploadBells, more: Partial<FollowSpec> = {}, signal = RUNNING) {
  const { events } = await followUpload(backend, new Origins(), bells, { ...SPEC, ...more }, signal);
  return events[Symbol.asyncIterator]();
}

const rowsIn = (event: IteratorResult<FollowEvent>) =>
  event.done !== true && event.value.kind === 'rows' ? event.value.batch.rowCount : undefined;

test('a follower of an upload that expires is told so', async () => {
  await using backend = new MemoryBackend({ max_memory_mb: 16, upload_ttl_ms: HOUR_MS });
  {
    await using upload = await backend.openUpload(uploadSpec('k', 'u'));
    await upload.append(lineRows(0, 3));
  }
  const bells = new UploadBells();
  const events = await follow(backend, bells);
  expect(rowsIn(await events.next())).toBe(3);
  const next = events.next();
  await backend.sweep(Date.now() + 2 * HOUR_MS);
  await expect(next).rejects.toMatchObject({ reason: 'UPLOAD_EXPIRED' });
});

test('a follower hears of rows without a bell, as where their stream is at another daemon', async () => {
  await using backend = new MemoryBackend({ max_memory_mb: 16 });
  await using upload = await backend.openUpload(uploadSpec('k', 'u'));
  const events = await follow(backend, new UploadBells());
  const next = events.next();
  await immediate();
  await upload.append(lineRows(0, 3));
  expect(rowsIn(await next)).toBe(3);
});

test('a bell that rings while a follower is looking is heard', async () => {
  const bells = new UploadBells();
  using listener = bells.listen('u');
  bells.ring('u');
  await listener.wait(HOUR_MS, RUNNING);
  const waiting = listener.wait(HOUR_MS, RUNNING);
  bells.ring('other');
  bells.ring('u');
  await waiting;
});

test('a follower that waits ends when it is cancelled', async () => {
  await using backend = new MemoryBackend({ max_memory_mb: 16 });
  await using upload = await backend.openUpload(uploadSpec('k', 'u'));
  const cancelling = new AbortController();
  const events = await follow(backend, new UploadBells(), {}, cancelling.signal);
  const next = events.next();
  await immediate();
  cancelling.abort();
  await expect(next).rejects.toMatchObject({ reason: 'CANCELLED' });
  expect(upload.nextRow).toBe(0);
});

test('a follower that is slow gets all rows, those that were committed meanwhile from the result', async () => {
  await using backend = new MemoryBackend({ max_memory_mb: 16 });
  await using upload = await backend.openUpload(uploadSpec('k', 'u'));
  await upload.append(lineRows(0, 30_000));
  const events = await follow(backend, new UploadBells(), { batchBytes: 65_536 });
  const first = await events.next();
  await upload.append(lineRows(30_000, 30_000));
  const manifest = await commit(upload);
  await backend.delete('k', undefined);
  let rowCount = rowsIn(first) ?? 0;
  for (;;) {
    const next = await events.next();
    if (next.done === true) break;
    rowCount += rowsIn(next) ?? 0;
    if (next.value.kind === 'committed') expect(next.value.manifest).toEqual(manifest);
  }
  expect(rowCount).toBe(60_000);
});

test('small batches are joined up to a size, in order; a large one stays as it is', async () => {
  const pieces = [...Array.from({ length: 3000 }, (_, row) => lineRows(row, 1)), lineRows(3000, 10_000)];
  const source = async function* () {
    yield* pieces;
  };
  const joined = await all(gathered(schemaOf(LINE.variables), source(), 16_384));
  expect(joined.map(({ rowCount }) => rowCount)).toEqual([1024, 1024, 952, 10_000]);
  expect(joined.at(-1)).toBe(pieces.at(-1));
  expect(asText(joined[1])).toEqual(asText(lineRows(1024, 1024)));
});
