import { setImmediate, setTimeout } from 'node:timers/promises';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import type { ListQuery } from '../../server/backends/backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { nanoseconds } from '../../server/times.js';
import { allTags } from '../../server/filter/filter.js';
import { selectColumns } from '../../server/rows/slice.js';
import { all, asText, lineRows, load, RUNNING, save } from './runs.js';
import { rowsOf } from './suite-copies.js';
import type { OpenBackend } from './suite.js';

const RETENTION_MS = 600_000;

/** Promises about revisions. */
export function revisionPromises(open: OpenBackend): void {
  test('each save makes a revision, and one that was superseded loads until its retention is over', async () => {
    await using opened = await open({ revision_retention_ms: RETENTION_MS });
    const { backend } = opened;
    await save(backend, 'k', [lineRows(0, 40_000, 1)]);
    await save(backend, 'k', [lineRows(0, 10, 2)]);
    expect((await backend.stat('k', undefined, RUNNING)).revision).toBe(2n);
    const old = await backend.stat('k', 1, RUNNING);
    // A part: a cache that has kept the whole may serve it for longer.
    const part = { columns: [1, 0], firstRow: 1000, rowCount: 30_000 };
    expect(asText(await load(backend, old, part))).toEqual(asText(selectColumns(lineRows(1000, 30_000), [1, 0])));
    await opened.sweep(Date.now() + RETENTION_MS / 2);
    expect(await load(backend, old, part)).toBeDefined();
    await opened.sweep(Date.now() + RETENTION_MS + 1000);
    await expect(backend.stat('k', 1, RUNNING)).rejects.toMatchObject({ reason: 'REVISION_NOT_FOUND' });
    await expect(load(backend, old, part)).rejects.toMatchObject({ reason: 'REVISION_NOT_FOUND' });
    await expect(backend.stat('k', 3, RUNNING)).rejects.toMatchObject({ reason: 'REVISION_NOT_FOUND' });
  });

  test('a revision that was superseded is told with the times that it had', async () => {
    await using opened = await open();
    const saved = await save(opened.backend, 'k', [lineRows(0, 3)]);
    await save(opened.backend, 'k', [lineRows(0, 4)]);
    const old = await opened.backend.stat('k', 1, RUNNING);
    expect(old.updateTime).toEqual(saved.updateTime);
    expect(old.commitTime).toEqual(saved.commitTime);
  });

  test('a revision that a copy of an old one supersedes is kept as long as any other', async () => {
    await using opened = await open({ revision_retention_ms: RETENTION_MS });
    const { backend } = opened;
    await using other = new MemoryBackend({ max_memory_mb: 16 });
    for (const rowCount of [1, 2]) await save(other, 'k', [lineRows(0, rowCount)]);
    await save(backend, 'k', [lineRows(0, 9)]);
    const source = await other.stat('k');
    const hourAgo = { ...source, updateTime: timestampFromMs(Date.now() - 3_600_000) };
    await backend.copyIn(hourAgo, rowsOf(other, source), { replace: false }, RUNNING);
    await opened.sweep(Date.now() + RETENTION_MS / 2);
    expect((await backend.stat('k', 1, RUNNING)).rowCount).toBe(9n);
    await opened.sweep(Date.now() + RETENTION_MS + 1000);
    await expect(backend.stat('k', 1, RUNNING)).rejects.toMatchObject({ reason: 'REVISION_NOT_FOUND' });
  });

  test('a lookup gives what the last change made, at once, however many ask meanwhile', async () => {
    await using opened = await open();
    const { backend } = opened;
    await using other = new MemoryBackend({ max_memory_mb: 16 });
    for (let i = 0; i < 9; i++) await save(other, 'k', [lineRows(0, 7)]);
    let revision = 0n;
    let isDone = false;
    const asking = (async () => {
      while (!isDone) {
        const known = revision;
        const told = await backend.stat('k', undefined, RUNNING).catch(() => undefined);
        expect(told?.revision ?? 0n).toBeGreaterThanOrEqual(known);
        await setImmediate();
      }
    })();
    const becomes = async (expected: object) => {
      const newest = await backend.stat('k', undefined, RUNNING);
      expect(newest).toMatchObject(expected);
      revision = newest.revision;
    };
    await save(backend, 'k', [lineRows(0, 3)]);
    await becomes({ revision: 1n, rowCount: 3n });
    await backend.annotate('k', 1, (manifest) => void (manifest.tags['a'] = 'b'), RUNNING);
    await becomes({ revision: 2n, tags: { a: 'b' } });
    await backend.setReplication('k', 2n, ReplicationState.PENDING, RUNNING);
    await becomes({ revision: 2n, replication: ReplicationState.PENDING });
    await save(backend, 'k', [lineRows(0, 5)]);
    await becomes({ revision: 3n, rowCount: 5n, tags: {} });
    await backend.moveOut('k', 3, RUNNING);
    await becomes({ revision: 3n, kind: RevisionKind.MOVED });
    const copy = await other.stat('k');
    await backend.copyIn(copy, rowsOf(other, copy), { replace: false }, RUNNING);
    await becomes({ revision: 9n, kind: RevisionKind.COMMITTED, rowCount: 7n });
    await backend.copyIn(copy, rowsOf(other, copy), { replace: true }, RUNNING);
    await becomes({ revision: 9n, kind: RevisionKind.COMMITTED });
    await backend.delete('k', 9, RUNNING);
    await becomes({ revision: 10n, kind: RevisionKind.DELETED });
    isDone = true;
    await asking;
  });

  test('a manifest that was given stays as it was, whatever becomes of its key', async () => {
    await using opened = await open();
    const { backend } = opened;
    await save(backend, 'k', [lineRows(0, 3)], { tags: { a: 'b' } });
    const given = frozen(await backend.stat('k', undefined, RUNNING));
    await backend.setReplication('k', 1n, ReplicationState.PENDING, RUNNING);
    frozen(await backend.stat('k', undefined, RUNNING));
    await backend.annotate('k', 1, (manifest) => void (manifest.tags['a'] = 'c'), RUNNING);
    frozen(await backend.stat('k', undefined, RUNNING));
    await save(backend, 'k', [lineRows(3, 4)], { append: true });
    const appended = frozen(await backend.stat('k', undefined, RUNNING));
    await backend.copyIn(appended, rowsOf(backend, appended), { replace: true }, RUNNING);
    frozen(await backend.stat('k', undefined, RUNNING));
    await backend.moveOut('k', 3, RUNNING);
    frozen(await backend.stat('k', undefined, RUNNING));
    await backend.delete('k', 3, RUNNING);
    expect(given).toMatchObject({ revision: 1n, tags: { a: 'b' }, replication: ReplicationState.NONE });
  });

  test('a load that runs goes on to its end, whatever becomes of its key', async () => {
    await using opened = await open({ revision_retention_ms: RETENTION_MS });
    const { backend } = opened;
    const batches = Array.from({ length: 10 }, (_, i) => lineRows(i * 70_000, 70_000));
    const manifest = await save(backend, 'k', batches);
    const selection = { columns: [0], firstRow: 0, rowCount: 700_000 };
    let rows = 0;
    for await (const batch of backend.read(manifest, selection, RUNNING)) {
      if (rows === 0) {
        await backend.delete('k', undefined, RUNNING);
        await opened.sweep(Date.now() + 2 * RETENTION_MS);
      }
      rows += batch.rowCount;
    }
    expect(rows).toBe(700_000);
    await opened.sweep(Date.now() + 2 * RETENTION_MS);
    expect(await backend.stats(RUNNING)).toMatchObject({ sizeBytes: 0, resultCount: 0 });
  });

  test('a load that is cancelled ends', async () => {
    await using opened = await open();
    const batches = Array.from({ length: 4 }, (_, i) => lineRows(i * 70_000, 70_000));
    const manifest = await save(opened.backend, 'k', batches);
    const cancel = new AbortController();
    const selection = { columns: [0], firstRow: 0, rowCount: 280_000 };
    const reading = opened.backend.read(manifest, selection, cancel.signal)[Symbol.asyncIterator]();
    await reading.next();
    cancel.abort();
    await expect(reading.next()).rejects.toMatchObject({ reason: 'CANCELLED' });
  });
}

/** Promises about deletion. */
export function deletionPromises(open: OpenBackend): void {
  test('a deletion leaves a marker with a revision, and the next save goes on behind it', async () => {
    await using opened = await open();
    const { backend } = opened;
    await save(backend, 'k', [lineRows(0, 1)]);
    expect(await backend.delete('k', 1, RUNNING)).toBe(2);
    expect(await backend.stat('k', undefined, RUNNING)).toMatchObject({ kind: RevisionKind.DELETED, revision: 2n });
    expect(await all(backend.list(query({}), RUNNING))).toEqual([]);
    await expect(backend.delete('k', undefined, RUNNING)).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    expect((await save(backend, 'k', [], { expectedRevision: 0 })).revision).toBe(3n);
  });

  test('a deletion is refused when its expected revision is not true, or nothing is there', async () => {
    await using opened = await open();
    const { backend } = opened;
    await expect(backend.delete('k', undefined, RUNNING)).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    await expect(backend.stat('k', undefined, RUNNING)).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    await save(backend, 'k', [lineRows(0, 1)]);
    await expect(backend.delete('k', 7, RUNNING)).rejects.toMatchObject({ reason: 'REVISION_MISMATCH' });
    expect((await backend.stat('k', undefined, RUNNING)).revision).toBe(1n);
  });
}

function query(more: Partial<ListQuery>): ListQuery {
  return { prefix: '', filter: undefined, orderBy: 'key', descending: false, ...more };
}

/** Promises about lists. */
export function listPromises(open: OpenBackend): void {
  test('results are listed in the order of their key as UTF-8, by prefix and by tags, in both directions', async () => {
    await using opened = await open();
    const { backend } = opened;
    // U+FFFD sorts before U+1F600 as UTF-8, but behind it as UTF-16.
    const keys = ['a', 'a/b', 'a/c', 'ab', '\ufffd', '\u{1f600}'];
    for (const key of [...keys].reverse()) {
      await save(backend, key, [], { tags: { first: key.slice(0, 1) } });
      // Times are in milliseconds; equal ones are ordered by key.
      await setTimeout(2);
    }
    const listed = async (more: Partial<ListQuery>) =>
      (await all(backend.list(query(more), RUNNING))).map(({ key }) => key);
    expect(await listed({})).toEqual(keys);
    expect(await listed({ descending: true })).toEqual([...keys].reverse());
    expect(await listed({ prefix: 'a/' })).toEqual(['a/b', 'a/c']);
    expect(await listed({ prefix: 'a', descending: true })).toEqual(['ab', 'a/c', 'a/b', 'a']);
    expect(await listed({ filter: allTags({ first: 'a' }) })).toEqual(['a', 'a/b', 'a/c', 'ab']);
    expect(await listed({ filter: allTags({ first: 'a', second: '' }) })).toEqual([]);
    expect(await listed({ after: { key: 'a/bb', time: 0n } })).toEqual(['a/c', 'ab', '\ufffd', '\u{1f600}']);
    expect(await listed({ prefix: 'a', descending: true, after: { key: 'a/c', time: 0n } })).toEqual(['a/b', 'a']);
    await save(backend, 'a', []);
    expect(await listed({ orderBy: 'update_time', descending: true, prefix: 'a' })).toEqual(['a', 'a/b', 'a/c', 'ab']);
    const [, second] = await all(backend.list(query({ orderBy: 'commit_time' }), RUNNING));
    const after = { key: second?.key ?? '', time: nanoseconds(second?.commitTime) };
    expect(await listed({ orderBy: 'commit_time', after })).toEqual(['ab', 'a/c', 'a/b', 'a']);
  });

  test('a list that is read while results come and go has each result that stays, once', async () => {
    await using opened = await open();
    const { backend } = opened;
    const stay = Array.from({ length: 50 }, (_, i) => `stay/${String(i).padStart(2, '0')}`);
    for (const key of stay) await save(backend, key, []);
    const seen: string[] = [];
    for await (const { key } of backend.list(query({ prefix: 'stay/' }), RUNNING)) {
      seen.push(key);
      if (seen.length === 5) {
        for (let i = 0; i < 20; i++) await save(backend, `come/${i}`, []);
        await save(backend, 'stay/25x', []);
        await backend.delete('stay/25x', undefined, RUNNING);
      }
    }
    expect(seen).toEqual(stay);
  });

  test('its figures count results, uploads and bytes', async () => {
    await using opened = await open({ revision_retention_ms: RETENTION_MS });
    const { backend } = opened;
    await save(backend, 'k', [lineRows(0, 100_000)]);
    await save(backend, 'l', [lineRows(0, 10)]);
    const stats = await backend.stats(RUNNING);
    expect(stats).toMatchObject({ failure: undefined, resultCount: 2, uploadCount: 0 });
    expect(stats.sizeBytes).toBeGreaterThanOrEqual(100_010 * 16);
    expect(stats.sizeBytes).toBeLessThan(100_010 * 16 * 1.1 + 4096);
  });
}

/** The same, where whoever changes anything of it fails. */
function frozen<T>(value: T): T {
  // Views can't be frozen.
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  for (const part of Object.values(value)) frozen(part);
  return Object.freeze(value);
}
