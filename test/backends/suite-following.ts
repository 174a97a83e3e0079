import { setImmediate as immediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend, Upload, UploadView } from '../../server/backends/backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { schemaOf, type Batch } from '../../server/rows/batch.js';
import { gatherBatches } from '../../server/rows/gather.js';
import { selectColumns } from '../../server/rows/slice.js';
import { all, asText, commit, LINE, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';
import type { OpenBackend } from './suite.js';

const HOUR_MS = 3_600_000;
const SCHEMA = schemaOf(LINE.variables);

/** Promises about the rows of saves in progress. */
export function followingPromises(open: OpenBackend): void {
  readingPromises(open);
  endingPromises(open);
}

async function openView(backend: StorageBackend, uploadId: string): Promise<Extract<UploadView, { state: 'open' }>> {
  const view = await backend.viewUpload(uploadId, RUNNING);
  if (view.state !== 'open') throw new Error(`upload ${uploadId} is ${view.state}`);
  return view;
}

/** Rows that an upload in progress gives, as one batch; undefined where there are none. */
async function readOpen(backend: StorageBackend, uploadId: string, firstRow = 0): Promise<Batch | undefined> {
  const view = await openView(backend, uploadId);
  const batches = await all(view.read({ columns: [0, 1], firstRow }, RUNNING));
  return batches.length === 0 ? undefined : gatherBatches(SCHEMA, batches);
}

/** Appends rows one by one and in bulk, so that some lie in every place that a store has for them. */
async function appendInPieces(upload: Upload): Promise<number> {
  await upload.append(lineRows(upload.nextRow, 70_000));
  for (let i = 0; i < 5; i++) {
    for (let row = 0; row < 20; row++) await upload.append(lineRows(upload.nextRow, 1));
    await upload.sync();
  }
  await upload.append(lineRows(upload.nextRow, 3000));
  return upload.sync();
}

function readingPromises(open: OpenBackend): void {
  test('an upload in progress gives the rows that are durable, from a row on, and says what is known of it', async () => {
    await using opened = await open();
    const { backend } = opened;
    const spec = uploadSpec('k', 'u', { tags: { a: '1' }, description: 'live' });
    await using upload = await backend.openUpload(spec, RUNNING);
    expect((await openView(backend, 'u')).manifest).toMatchObject({
      ...{ key: 'k', uploadId: 'u', rowCount: 0n, revision: 0n, kind: RevisionKind.UNSPECIFIED },
      ...{ tags: { a: '1' }, description: 'live', problem: LINE },
    });
    expect(await readOpen(backend, 'u')).toBeUndefined();
    const durable = await appendInPieces(upload);
    expect((await openView(backend, 'u')).manifest.rowCount).toBe(BigInt(durable));
    for (const firstRow of [0, 1, 69_999, 70_000, 70_010, 70_099, 70_100, durable - 1])
      expect(asText(await readOpen(backend, 'u', firstRow))).toEqual(asText(lineRows(firstRow, durable - firstRow)));
    expect(await readOpen(backend, 'u', durable)).toBeUndefined();
    expect(await readOpen(backend, 'u', durable + 7)).toBeUndefined();
    expect((await commit(upload)).rowCount).toBe(BigInt(durable));
  });

  test('an upload in progress gives chosen columns in the order asked for', async () => {
    await using opened = await open();
    await using upload = await opened.backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    const durable = await appendInPieces(upload);
    const view = await openView(opened.backend, 'u');
    for (const columns of [[1], [1, 0]]) {
      const batches = await all(view.read({ columns, firstRow: 69_990 }, RUNNING));
      const rows = gatherBatches(SCHEMA.slice(0, columns.length), batches);
      expect(asText(rows)).toEqual(asText(selectColumns(lineRows(69_990, durable - 69_990), columns)));
    }
  });

  test('rows that are not durable are not given, until they are', async () => {
    await using opened = await open();
    const { backend } = opened;
    await using upload = await backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    await upload.append(lineRows(0, 10));
    await upload.sync();
    await upload.append(lineRows(10, 5));
    const { durableRowCount } = upload;
    expect(asText(await readOpen(backend, 'u'))).toEqual(asText(lineRows(0, durableRowCount)));
    await upload.sync();
    expect(asText(await readOpen(backend, 'u'))).toEqual(asText(lineRows(0, 15)));
  });

  test('an upload is read whole beside its writer, from every place, while rows are gathered', async () => {
    await using opened = await open();
    const { backend } = opened;
    await using upload = await backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    let isDone = false;
    const writing = (async () => {
      for (let i = 0; i < 60; i++) {
        for (let row = 0; row < 10; row++) await upload.append(lineRows(upload.nextRow, 100));
        if (i % 20 === 0) await upload.append(lineRows(upload.nextRow, 20_000));
        await upload.sync();
      }
    })().finally(() => (isDone = true));
    const reading = (async () => {
      const seen: Batch[] = [];
      let at = 0;
      for (let last = false; !last;) {
        last = isDone;
        const view = await openView(backend, 'u');
        for await (const batch of view.read({ columns: [0, 1], firstRow: at }, RUNNING)) {
          expect(batch.firstRow).toBe(at);
          at += batch.rowCount;
          seen.push(batch);
        }
        // A database shows what a transaction made durable before its writer has heard so.
        expect(at).toBeLessThanOrEqual(Number((await openView(backend, 'u')).manifest.rowCount));
        // Of a store that has nothing new it would be a loop that lets nobody else run.
        await immediate();
      }
      return seen;
    })();
    const [seen] = await Promise.all([reading, writing]);
    expect(upload.durableRowCount).toBe(120_000);
    expect(asText(gatherBatches(SCHEMA, seen))).toEqual(asText(lineRows(0, 120_000)));
    expect(asText(await load(backend, await commit(upload)))).toEqual(asText(lineRows(0, 120_000)));
  });

  test('an append in progress gives the rows of its base and its own, from a row on', async () => {
    await using opened = await open();
    const { backend } = opened;
    await save(backend, 'k', [lineRows(0, 50_000)], { tags: { a: '1' } });
    await using upload = await backend.openUpload(uploadSpec('k', 'u', { append: true }), RUNNING);
    expect((await openView(backend, 'u')).manifest).toMatchObject({ rowCount: 50_000n, tags: { a: '1' } });
    expect(asText(await readOpen(backend, 'u', 49_990))).toEqual(asText(lineRows(49_990, 10)));
    await upload.append(lineRows(50_000, 20));
    await upload.sync();
    for (const firstRow of [0, 49_995, 50_000, 50_019])
      expect(asText(await readOpen(backend, 'u', firstRow))).toEqual(asText(lineRows(firstRow, 50_020 - firstRow)));
  });
}

function endingPromises(open: OpenBackend): void {
  test('an upload that was committed gives its result; one that ended otherwise, or never was, an error', async () => {
    await using opened = await open({ upload_ttl_ms: HOUR_MS });
    const { backend } = opened;
    const view = (id: string) => backend.viewUpload(id, RUNNING);
    await expect(view('u')).rejects.toMatchObject({ reason: 'UPLOAD_NOT_FOUND' });
    for (const id of ['committed', 'aborted', 'expired']) {
      await using upload = await backend.openUpload(uploadSpec('k', id), RUNNING);
      await upload.append(lineRows(0, 3));
      await upload.sync();
      if (id === 'committed') await commit(upload);
    }
    await backend.abortUpload('aborted', RUNNING);
    await opened.sweep(Date.now() + 2 * HOUR_MS);
    expect(await view('committed')).toMatchObject({ state: 'committed', manifest: { revision: 1n, rowCount: 3n } });
    await expect(view('aborted')).rejects.toMatchObject({ reason: 'UPLOAD_ABORTED' });
    await expect(view('expired')).rejects.toMatchObject({ reason: 'UPLOAD_EXPIRED' });
  });

  test('a reader whose upload is committed or aborted meanwhile gets right rows or fewer, and no failure', async () => {
    await using opened = await open();
    const { backend } = opened;
    for (const end of ['commit', 'abort']) {
      await using upload = await backend.openUpload(uploadSpec(end, end), RUNNING);
      const durable = await appendInPieces(upload);
      const view = await openView(backend, end);
      const reading = view.read({ columns: [0, 1], firstRow: 0 }, RUNNING)[Symbol.asyncIterator]();
      const first = (await reading.next()).value as Batch;
      if (end === 'commit') await commit(upload);
      else await backend.abortUpload(end, RUNNING);
      await opened.sweep(Date.now());
      const batches = [first];
      for (let next = await reading.next(); next.done !== true; next = await reading.next()) batches.push(next.value);
      const rows = gatherBatches(SCHEMA, batches);
      expect(rows.rowCount).toBeLessThanOrEqual(durable);
      expect(asText(rows)).toEqual(asText(lineRows(0, rows.rowCount)));
    }
  });

  test('a reader that is cancelled ends', async () => {
    await using opened = await open();
    await using upload = await opened.backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    await appendInPieces(upload);
    const cancelling = new AbortController();
    const view = await openView(opened.backend, 'u');
    const reading = view.read({ columns: [0, 1], firstRow: 0 }, cancelling.signal)[Symbol.asyncIterator]();
    await reading.next();
    cancelling.abort();
    const rest = async () => {
      while ((await reading.next()).done !== true);
    };
    await expect(rest()).rejects.toMatchObject({ reason: 'CANCELLED' });
  });

  test('the rows of a copy that is being made belong to no upload', async () => {
    await using opened = await open();
    await using other = new MemoryBackend({ max_memory_mb: 64 });
    const { backend } = opened;
    const source = await save(other, 'k', [lineRows(0, 10)]);
    const seen: unknown[] = [];
    const read = async function* () {
      yield* other.read(source, { columns: [0, 1], firstRow: 0, rowCount: 10 }, RUNNING);
      seen.push(await backend.viewUpload(source.uploadId, RUNNING).catch((error: unknown) => error));
    };
    await backend.copyIn(source, read, { replace: false }, RUNNING);
    expect(seen).toMatchObject([{ reason: 'UPLOAD_NOT_FOUND' }]);
    expect(await backend.viewUpload(source.uploadId, RUNNING)).toMatchObject({ state: 'committed' });
  });
}

/** Promises of a durable backend about them. */
export function durableFollowingPromises(open: OpenBackend): void {
  test('an upload gives its durable rows when the store is opened again, with and without a stream', async () => {
    await using opened = await open();
    let durable: number;
    {
      await using upload = await opened.backend.openUpload(uploadSpec('k', 'u'), RUNNING);
      durable = await appendInPieces(upload);
    }
    await opened.reopen();
    const { backend } = opened;
    expect(asText(await readOpen(backend, 'u'))).toEqual(asText(lineRows(0, durable)));
    await using upload = await backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    await upload.append(lineRows(durable, 10));
    await upload.sync();
    expect(asText(await readOpen(backend, 'u', durable - 5))).toEqual(asText(lineRows(durable - 5, 15)));
  });
}
