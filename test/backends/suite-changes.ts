import { clone } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ManifestSchema, RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationMode, ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { all, asText, commit, LINE, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';
import type { OpenBackend } from './suite.js';
import { KEEP, newest, rowsOf } from './suite-copies.js';

const RETENTION_MS = 600_000;

/** Promises about metadata that is changed behind the commit. */
export function annotationPromises(open: OpenBackend): void {
  test('an annotation makes a revision with the same rows; the one before stays loadable until its retention is over', async () => {
    await using opened = await open({ revision_retention_ms: RETENTION_MS });
    const { backend } = opened;
    const before = await save(backend, 'k', [lineRows(0, 40_000)], { tags: { a: '1', b: '2' } });
    const edit = (manifest: Manifest) => {
      manifest.tags = { a: '3' };
      manifest.description = 'edited';
    };
    const after = await backend.annotate('k', 1, edit, RUNNING);
    expect(after).toMatchObject({ revision: 2n, tags: { a: '3' }, description: 'edited', rowCount: 40_000n });
    expect(after.commitTime).toEqual(before.commitTime);
    expect(await backend.stat('k', 1, RUNNING)).toMatchObject({ tags: { a: '1', b: '2' }, description: '' });
    const size = (await backend.stats(RUNNING)).sizeBytes;
    await opened.sweep(Date.now() + 2 * RETENTION_MS);
    await expect(backend.stat('k', 1, RUNNING)).rejects.toMatchObject({ reason: 'REVISION_NOT_FOUND' });
    expect(asText(await load(backend, await newest(backend, 'k')))).toEqual(asText(lineRows(0, 40_000)));
    expect((await backend.stats(RUNNING)).sizeBytes).toBe(size);
    await backend.delete('k', 2, RUNNING);
    await opened.sweep(Date.now() + 2 * RETENTION_MS);
    await expect(load(backend, after)).rejects.toMatchObject({ reason: 'REVISION_NOT_FOUND' });
  });

  test('an annotation is refused for another revision than expected, and where nothing is', async () => {
    await using opened = await open();
    const { backend } = opened;
    const annotate = (expected?: number) => backend.annotate('k', expected, () => undefined, RUNNING);
    await expect(annotate()).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    await save(backend, 'k', []);
    await expect(annotate(7)).rejects.toMatchObject({ reason: 'REVISION_MISMATCH', metadata: { revision: '1' } });
    const failing = backend.annotate(
      'k',
      1,
      () => {
        throw new TypeError('not like this');
      },
      RUNNING,
    );
    await expect(failing).rejects.toThrow('not like this');
    expect((await newest(backend, 'k')).revision).toBe(1n);
    await backend.delete('k', undefined, RUNNING);
    await expect(annotate()).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
  });

  test('of annotations at once each sees what the one before left', async () => {
    await using opened = await open();
    const { backend } = opened;
    await save(backend, 'k', []);
    const add = (name: string) =>
      backend.annotate('k', undefined, (manifest) => void (manifest.tags[name] = 'x'), RUNNING);
    await Promise.all(['a', 'b', 'c', 'd'].map(add));
    const { revision, tags } = await newest(backend, 'k');
    expect({ revision, names: Object.keys(tags).sort() }).toEqual({ revision: 5n, names: ['a', 'b', 'c', 'd'] });
  });
}

/** Promises about results that are extended. */
export function appendPromises(open: OpenBackend): void {
  test('an append adds rows behind those that are there, row by row and in bulk, and keeps the metadata', async () => {
    await using opened = await open({ revision_retention_ms: RETENTION_MS });
    const { backend } = opened;
    const first = await save(backend, 'k', [lineRows(0, 100_000)], { tags: { a: '1' }, description: 'first' });
    {
      const spec = uploadSpec('k', 'more', { append: true, problem: undefined, tags: { b: '2' } });
      await using upload = await backend.openUpload(spec, RUNNING);
      expect(upload.nextRow).toBe(100_000);
      expect(upload.problem).toEqual(LINE);
      for (let row = 100_000; row < 100_010; row++) await upload.append(lineRows(row, 1));
      expect(await upload.sync()).toBe(100_010);
      await upload.append(lineRows(100_010, 99_990));
      const extended = await commit(upload);
      expect(extended).toMatchObject({ revision: 2n, rowCount: 200_000n, description: 'first' });
      expect(extended.tags).toEqual({ a: '1', b: '2' });
      expect(extended.createTime).toEqual(first.createTime);
    }
    await save(backend, 'whole', [lineRows(0, 200_000)]);
    await opened.sweep(Date.now() + 2 * RETENTION_MS);
    const extended = await newest(backend, 'k');
    expect(extended.columns).toEqual((await newest(backend, 'whole')).columns);
    expect(asText(await load(backend, extended))).toEqual(asText(lineRows(0, 200_000)));
    const across = { firstRow: 99_990, rowCount: 40 };
    expect(asText(await load(backend, extended, across))).toEqual(asText(lineRows(99_990, 40)));
  });

  test('an append of a few rows to a small result, and of none, loads whole', async () => {
    await using opened = await open();
    const { backend } = opened;
    await save(backend, 'k', [lineRows(0, 3)]);
    await save(backend, 'k', [lineRows(3, 2)], { append: true });
    await save(backend, 'k', [], { append: true });
    await save(backend, 'k', [lineRows(5, 1)], { append: true });
    expect(asText(await load(backend, await newest(backend, 'k')))).toEqual(asText(lineRows(0, 6)));
    expect(await newest(backend, 'k')).toMatchObject({ revision: 4n, rowCount: 6n });
  });

  test('an append that was let go is resumed where it stopped; another commit meanwhile makes its own fail', async () => {
    await using opened = await open();
    const { backend } = opened;
    await save(backend, 'k', [lineRows(0, 10)]);
    const spec = uploadSpec('k', 'more', { append: true });
    {
      await using upload = await backend.openUpload(spec, RUNNING);
      await upload.append(lineRows(10, 5));
      await upload.sync();
    }
    {
      await using upload = await backend.openUpload(spec, RUNNING);
      expect(upload.nextRow).toBe(15);
      await backend.annotate('k', undefined, (manifest) => void (manifest.description = 'new'), RUNNING);
      await expect(commit(upload)).rejects.toMatchObject({ reason: 'REVISION_MISMATCH' });
    }
    await backend.abortUpload('more', RUNNING);
    expect(asText(await load(backend, await newest(backend, 'k')))).toEqual(asText(lineRows(0, 10)));
  });

  test('an append to nothing, or with other variables, is refused', async () => {
    await using opened = await open();
    const { backend } = opened;
    const spec = uploadSpec('k', 'more', { append: true });
    await expect(backend.openUpload(spec, RUNNING)).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    await save(backend, 'k', []);
    const problem = { ...LINE, variables: LINE.variables.slice(0, 1) };
    const other = backend.openUpload({ ...spec, problem }, RUNNING);
    await expect(other).rejects.toMatchObject({ reason: 'UPLOAD_CONFLICT' });
  });
}

/** Promises about the order of changes, and what of them waits to be replicated. */
export function changePromises(open: OpenBackend, replicates: boolean): void {
  const told = async (backend: StorageBackend, after: bigint, pending = false) =>
    (await all(backend.changes({ after, pending }, RUNNING))).map(({ key, revision }) => `${key}@${revision}`);

  test('changes are told in their order, each key once, as it is now, from a number on', async () => {
    await using opened = await open();
    const { backend } = opened;
    const { newest: start } = await backend.changeNumbers(RUNNING);
    await save(backend, 'a', []);
    await save(backend, 'b', []);
    const { newest: between } = await backend.changeNumbers(RUNNING);
    await save(backend, 'c', []);
    await backend.annotate('a', undefined, (manifest) => void (manifest.description = 'x'), RUNNING);
    await backend.delete('c', undefined, RUNNING);
    expect(await told(backend, start)).toEqual(['b@1', 'a@2', 'c@2']);
    expect(await told(backend, between)).toEqual(['a@2', 'c@2']);
    const { floor, newest: end } = await backend.changeNumbers(RUNNING);
    expect(await told(backend, end)).toEqual([]);
    expect(floor <= start && start < between && between < end).toBe(true);
  });

  test('changes that are made at once are all told, however one follows them', async () => {
    await using opened = await open();
    const { backend } = opened;
    let { newest: after } = await backend.changeNumbers(RUNNING);
    const seen: string[] = [];
    const follow = async () => {
      for await (const manifest of backend.changes({ after }, RUNNING)) {
        expect(manifest.changeNumber > after).toBe(true);
        after = manifest.changeNumber;
        seen.push(manifest.key);
      }
    };
    const saving = Promise.all(Array.from({ length: 60 }, (_, i) => save(backend, `k${i}`, [lineRows(0, i)])));
    let isDone = false;
    void saving.finally(() => (isDone = true));
    while (!isDone) await follow();
    await saving;
    await follow();
    expect(seen.sort()).toEqual(Array.from({ length: 60 }, (_, i) => `k${i}`).sort());
  });

  test('what is to be replicated is pending until it is said to be done, and so is all that follows upon it', async () => {
    await using opened = await open();
    const { backend } = opened;
    const ASYNC = { replication: ReplicationMode.ASYNC };
    expect((await save(backend, 'a', [], ASYNC)).replication).toBe(ReplicationState.PENDING);
    expect((await save(backend, 'b', [])).replication).toBe(ReplicationState.NONE);
    // A store alone has nowhere to copy to: what was to be copied at once waits as well.
    const sync = await save(backend, 'c', [], { replication: ReplicationMode.SYNC });
    expect(sync.replication).toBe(replicates ? ReplicationState.DONE : ReplicationState.PENDING);
    if (replicates) await backend.setReplication('c', 1n, ReplicationState.PENDING, RUNNING);
    expect(await told(backend, 0n, true)).toEqual(['a@1', 'c@1']);
    expect(await backend.stats(RUNNING)).toMatchObject({
      pendingCount: 2,
      oldestPendingMs: expect.any(Number) as number,
    });
    await backend.setReplication('a', 1n, ReplicationState.DONE, RUNNING);
    await backend.setReplication('c', 7n, ReplicationState.DONE, RUNNING);
    expect(await told(backend, 0n, true)).toEqual(['c@1']);
    expect((await newest(backend, 'a')).replication).toBe(ReplicationState.DONE);
    await backend.annotate('a', undefined, (manifest) => void (manifest.description = 'x'), RUNNING);
    await backend.annotate('b', undefined, (manifest) => void (manifest.description = 'x'), RUNNING);
    await backend.delete('c', undefined, RUNNING);
    expect(await told(backend, 0n, true)).toEqual(['a@2', 'c@2']);
    await save(backend, 'a', []);
    expect(await told(backend, 0n, true)).toEqual(['c@2', 'a@3']);
    for (const { key, revision } of await all(backend.changes({ after: 0n, pending: true }, RUNNING)))
      await backend.setReplication(key, revision, ReplicationState.DONE, RUNNING);
    expect(await backend.stats(RUNNING)).toMatchObject({ pendingCount: 0, oldestPendingMs: undefined });
  });
}

/** Promises of a durable backend about all of these. */
export function durableChangePromises(open: OpenBackend): void {
  test('numbers, markers, what is pending, appends and half copies are there when it is opened again', async () => {
    await using opened = await open();
    await using other = new MemoryBackend({ max_memory_mb: 64 });
    const source = await save(other, 'copy', [lineRows(0, 70_000), lineRows(70_000, 70_000)]);
    await save(opened.backend, 'a', [lineRows(0, 10)], { replication: ReplicationMode.ASYNC });
    await save(opened.backend, 'b', [lineRows(0, 10)]);
    await opened.backend.moveOut('b', 1, RUNNING);
    {
      const spec = uploadSpec('a', 'more', { append: true });
      await using upload = await opened.backend.openUpload(spec, RUNNING);
      await upload.append(lineRows(10, 90_000));
      await upload.append(lineRows(90_010, 5));
    }
    const cutOff = async function* () {
      yield lineRows(0, 70_000);
      throw new Error('cut off');
    };
    await expect(opened.backend.copyIn(source, cutOff, KEEP, RUNNING)).rejects.toThrow('cut off');
    const before = await opened.backend.changeNumbers(RUNNING);
    await opened.reopen();
    const { backend } = opened;
    expect(await backend.changeNumbers(RUNNING)).toEqual(before);
    expect((await newest(backend, 'b')).kind).toBe(RevisionKind.MOVED);
    expect(await backend.stats(RUNNING)).toMatchObject({ pendingCount: 1, uploadCount: 1 });
    await backend.copyIn(source, rowsOf(other, source), KEEP, RUNNING);
    await using upload = await backend.openUpload(uploadSpec('a', 'more'), RUNNING);
    expect(upload.nextRow).toBe(90_015);
    const extended = await commit(upload);
    expect(extended.changeNumber > before.newest).toBe(true);
    expect(asText(await load(backend, extended))).toEqual(asText(lineRows(0, 90_015)));
    expect(asText(await load(backend, await newest(backend, 'copy')))).toEqual(asText(lineRows(0, 140_000)));
  });

  test('an upload that is committed late leaves the numbers of later ones alone', async () => {
    await using opened = await open();
    for (const id of ['early', 'late']) {
      await using upload = await opened.backend.openUpload(uploadSpec(id, id), RUNNING);
      await upload.append(lineRows(0, 100_000));
    }
    {
      await using upload = await opened.backend.openUpload(uploadSpec('early', 'early'), RUNNING);
      await commit(upload);
    }
    await opened.reopen();
    const { backend } = opened;
    await save(backend, 'next', [lineRows(0, 100_000, 3)]);
    await using late = await backend.openUpload(uploadSpec('late', 'late'), RUNNING);
    const manifest = await commit(late);
    expect(asText(await load(backend, manifest))).toEqual(asText(lineRows(0, 100_000)));
    expect(asText(await load(backend, await newest(backend, 'next')))).toEqual(asText(lineRows(0, 100_000, 3)));
    expect(asText(await load(backend, clone(ManifestSchema, await newest(backend, 'early'))))).toEqual(
      asText(lineRows(0, 100_000)),
    );
  });
}
