import { expect, test } from 'vitest';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationMode } from '../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import type { Batch } from '../../server/rows/batch.js';
import { all, asText, commit, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';
import type { OpenBackend } from './suite.js';

const WHOLE = { columns: [0, 1], firstRow: 0 };
/** Copies do not replace what is there. */
export const KEEP = { replace: false };

/** Reads a result of another store from a row on, as copyIn wants it. */
export function rowsOf(backend: StorageBackend, manifest: Manifest) {
  return (firstRow: number, signal: AbortSignal): AsyncIterable<Batch> =>
    backend.read(manifest, { ...WHOLE, firstRow, rowCount: Number(manifest.rowCount) - firstRow }, signal);
}

/** For copies that must not read. */
// eslint-disable-next-line require-yield
async function* nothing(): AsyncGenerator<Batch> {
  throw new Error('rows were read');
}

/** A key's newest revision or marker. */
export const newest = (backend: StorageBackend, key: string): Promise<Manifest> =>
  backend.stat(key, undefined, RUNNING);

/** Promises about revisions that come from another store, or go to one. */
export function copyPromises(open: OpenBackend): void {
  test('a copy has the number, times, metadata and rows of its source, and the next save goes on behind it', async () => {
    await using opened = await open();
    const { backend } = opened;
    await using other = new MemoryBackend({ max_memory_mb: 64 });
    for (let i = 0; i < 3; i++) await save(other, 'k', [lineRows(0, 50_000, i)], { tags: { i: String(i) } });
    const source = await newest(other, 'k');
    const copy = await backend.copyIn(source, rowsOf(other, source), KEEP, RUNNING);
    for (const field of ['revision', 'tags', 'commitTime', 'updateTime', 'uploadId', 'columns', 'rowCount'] as const)
      expect(copy[field]).toEqual(source[field]);
    expect(await newest(backend, 'k')).toEqual(copy);
    expect(asText(await load(backend, copy))).toEqual(asText(lineRows(0, 50_000, 2)));
    // Known already: nothing is read.
    expect(await backend.copyIn(source, nothing, KEEP, RUNNING)).toEqual(copy);
    expect((await save(backend, 'k', [])).revision).toBe(4n);
    const late = backend.copyIn(source, nothing, KEEP, RUNNING);
    await expect(late).rejects.toMatchObject({ reason: 'REVISION_MISMATCH' });
    expect(await all(backend.uploads({ prefix: '' }, RUNNING))).toEqual([]);
  });

  test('the upload that made a result is known as committed where it was copied to', async () => {
    await using opened = await open();
    await using other = new MemoryBackend({ max_memory_mb: 64 });
    const source = await save(other, 'k', [lineRows(0, 10)]);
    await opened.backend.copyIn(source, rowsOf(other, source), KEEP, RUNNING);
    await using upload = await opened.backend.openUpload(uploadSpec('k', source.uploadId), RUNNING);
    expect(upload.committed?.revision).toBe(1n);
    expect((await commit(upload)).revision).toBe(1n);
  });

  test('a copy that only differs in its metadata takes the rows over that are there', async () => {
    await using opened = await open({ revision_retention_ms: 0 });
    const { backend } = opened;
    await using other = new MemoryBackend({ max_memory_mb: 64 });
    const first = await save(other, 'k', [lineRows(0, 50_000)]);
    await backend.copyIn(first, rowsOf(other, first), KEEP, RUNNING);
    const second = await other.annotate('k', undefined, (manifest) => void (manifest.tags['new'] = 'x'));
    await backend.copyIn(second, nothing, KEEP, RUNNING);
    await opened.sweep(Date.now() + 1000);
    const copy = await newest(backend, 'k');
    expect(copy).toMatchObject({ revision: 2n, tags: { new: 'x' } });
    expect(asText(await load(backend, copy))).toEqual(asText(lineRows(0, 50_000)));
  });

  test('rows that are not those of the manifest never become visible', async () => {
    await using opened = await open();
    const { backend } = opened;
    await using other = new MemoryBackend({ max_memory_mb: 64 });
    const source = await save(other, 'k', [lineRows(0, 1000)]);
    const wrong = await save(other, 'wrong', [lineRows(0, 1000, 2)]);
    const short = await save(other, 'short', [lineRows(0, 999)]);
    for (const bad of [wrong, short]) {
      const copying = backend.copyIn(source, rowsOf(other, bad), KEEP, RUNNING);
      await expect(copying).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
      await expect(newest(backend, 'k')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    }
    await backend.copyIn(source, rowsOf(other, source), KEEP, RUNNING);
    expect(asText(await load(backend, await newest(backend, 'k')))).toEqual(asText(lineRows(0, 1000)));
  });

  test('a copy that was cut off goes on where it stopped', async () => {
    await using opened = await open();
    const { backend } = opened;
    await using other = new MemoryBackend({ max_memory_mb: 64 });
    const batches = Array.from({ length: 4 }, (_, i) => lineRows(i * 70_000, 70_000));
    const source = await save(other, 'k', batches);
    const cutOff = async function* (firstRow: number) {
      for await (const batch of rowsOf(other, source)(firstRow, RUNNING)) {
        if (batch.firstRow >= 140_000) throw new Error('cut off');
        yield batch;
      }
    };
    await expect(backend.copyIn(source, cutOff, KEEP, RUNNING)).rejects.toThrow('cut off');
    await expect(newest(backend, 'k')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    const asked: number[] = [];
    const counted = (firstRow: number, signal: AbortSignal) => {
      asked.push(firstRow);
      return rowsOf(other, source)(firstRow, signal);
    };
    const copy = await backend.copyIn(source, counted, KEEP, RUNNING);
    expect(asked).toEqual([140_000]);
    expect(asText(await load(backend, copy))).toEqual(asText(lineRows(0, 280_000)));
  });

  test('a deletion is copied as a marker, and blocks older revisions', async () => {
    await using opened = await open();
    const { backend } = opened;
    await using other = new MemoryBackend({ max_memory_mb: 64 });
    const first = await save(other, 'k', [lineRows(0, 10)]);
    await other.delete('k', undefined);
    const marker = await newest(other, 'k');
    await backend.copyIn(marker, nothing, KEEP, RUNNING);
    expect(await newest(backend, 'k')).toMatchObject({ kind: RevisionKind.DELETED, revision: 2n });
    const late = backend.copyIn(first, rowsOf(other, first), KEEP, RUNNING);
    await expect(late).rejects.toMatchObject({ reason: 'REVISION_MISMATCH' });
  });

  test('another revision of the same number is not taken for a copy, and not put in its place', async () => {
    await using opened = await open();
    const { backend } = opened;
    await using other = new MemoryBackend({ max_memory_mb: 64 });
    const own = await save(backend, 'k', [lineRows(0, 10)]);
    const theirs = await save(other, 'k', [lineRows(0, 20)]);
    for (const replace of [false, true]) {
      const copied = backend.copyIn(theirs, rowsOf(other, theirs), { replace }, RUNNING);
      await expect(copied).rejects.toMatchObject({ reason: 'REVISION_MISMATCH', metadata: { revision: '1' } });
    }
    expect(await newest(backend, 'k')).toEqual(own);
    expect(await all(backend.uploads({ prefix: '' }, RUNNING))).toEqual([]);
  });

  test('a bad revision is replaced by the same one of another store', async () => {
    await using opened = await open({ revision_retention_ms: 0 });
    const { backend } = opened;
    const own = await save(backend, 'k', [lineRows(0, 50_000)]);
    await using other = new MemoryBackend({ max_memory_mb: 64 });
    const source = await other.copyIn(own, rowsOf(backend, own), KEEP, RUNNING);
    const repaired = await backend.copyIn(source, rowsOf(other, source), { replace: true }, RUNNING);
    expect(repaired.revision).toBe(1n);
    await opened.sweep(Date.now() + 1000);
    expect(asText(await load(backend, await newest(backend, 'k')))).toEqual(asText(lineRows(0, 50_000)));
    expect(await backend.stats(RUNNING)).toMatchObject({ resultCount: 1 });
  });

  test('a bad revision that is replaced goes on to wait for its replication', async () => {
    await using opened = await open();
    const { backend } = opened;
    const own = await save(backend, 'k', [lineRows(0, 10)], { replication: ReplicationMode.ASYNC });
    await using other = new MemoryBackend({ max_memory_mb: 64 });
    const source = await other.copyIn(own, rowsOf(backend, own), KEEP, RUNNING);
    await backend.copyIn(source, rowsOf(other, source), { replace: true }, RUNNING);
    const pending = await all(backend.changes({ after: 0n, pending: true }, RUNNING));
    expect(pending.map(({ key, revision }) => [key, revision])).toEqual([['k', 1n]]);
    expect(await backend.stats(RUNNING)).toMatchObject({ pendingCount: 1 });
  });

  test('a result that was moved out is absent on purpose, and may come back under its number', async () => {
    await using opened = await open({ revision_retention_ms: 0 });
    const { backend } = opened;
    const source = await save(backend, 'k', [lineRows(0, 50_000)]);
    await using other = new MemoryBackend({ max_memory_mb: 64 });
    await other.copyIn(source, rowsOf(backend, source), KEEP, RUNNING);
    await expect(backend.moveOut('k', 7, RUNNING)).rejects.toMatchObject({ reason: 'REVISION_MISMATCH' });
    await backend.moveOut('k', 1, RUNNING);
    await backend.moveOut('k', 1, RUNNING);
    await opened.sweep(Date.now() + 1000);
    expect(await newest(backend, 'k')).toMatchObject({ kind: RevisionKind.MOVED, revision: 1n });
    await expect(load(backend, source)).rejects.toMatchObject({ reason: 'REVISION_NOT_FOUND' });
    expect(await backend.stats(RUNNING)).toMatchObject({ resultCount: 0, sizeBytes: 0 });
    const back = await newest(other, 'k');
    await backend.copyIn(back, rowsOf(other, back), KEEP, RUNNING);
    expect(asText(await load(backend, await newest(backend, 'k')))).toEqual(asText(lineRows(0, 50_000)));
    await backend.moveOut('k', 1, RUNNING);
    expect((await save(backend, 'k', [])).revision).toBe(2n);
    await backend.moveOut('k', 2, RUNNING);
    // It was changed twice where it is now.
    await backend.moveOut('k', 4, RUNNING);
    await expect(backend.moveOut('k', 3, RUNNING)).rejects.toMatchObject({ reason: 'REVISION_MISMATCH' });
    expect(await backend.delete('k', undefined, RUNNING)).toBe(5);
  });
}
