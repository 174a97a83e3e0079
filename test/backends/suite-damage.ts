import { expect, test } from 'vitest';
import type { ListOrder, StorageBackend } from '../../server/backends/backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { StorageError } from '../../server/errors.js';
import { inRole } from '../../server/manager/role-store.js';
import { CircuitBreaker } from '../../server/manager/circuit-breaker.js';
import { all, asText, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';
import { KEEP, newest, rowsOf } from './suite-copies.js';
import type { OpenBackend, OpenedBackend } from './suite.js';

const REPLACE = { replace: true };

/** A store with a, b and c, and another with a copy of b, before b's entry is damaged. */
async function damaged(open: OpenBackend): Promise<{ opened: OpenedBackend; other: MemoryBackend }> {
  const opened = await open();
  const other = new MemoryBackend({ max_memory_mb: 64 });
  for (const key of ['a', 'b', 'c']) await save(opened.backend, key, [lineRows(0, 1000)], { tags: { of: key } });
  const source = await newest(opened.backend, 'b');
  await other.copyIn(source, rowsOf(opened.backend, source), KEEP, RUNNING);
  await opened.damageEntry?.('b');
  return { opened, other };
}

async function failureOf(act: Promise<unknown>): Promise<StorageError> {
  const error = await act.then(
    () => undefined,
    (failure: unknown) => failure,
  );
  if (!(error instanceof StorageError)) throw new Error('it did not fail as a store does', { cause: error });
  return error;
}

/** Promises about a key of which a disk has damaged all that is kept but rows. */
export function damagePromises(open: OpenBackend): void {
  test('a key whose entry is damaged is named to who asks for it and to who saves it, and all others are as they were', async () => {
    const { opened, other } = await damaged(open);
    await using closing = opened;
    await other[Symbol.asyncDispose]();
    const { backend } = closing;
    const acts = [
      () => newest(backend, 'b'),
      () => save(backend, 'b', []),
      () => backend.delete('b', undefined, RUNNING),
    ];
    for (const act of acts) {
      const { reason, metadata, message } = await failureOf(act());
      expect({ reason, key: metadata['damaged_key'] }).toEqual({ reason: 'RESULT_CORRUPT', key: 'b' });
      expect(message).toMatch(/verify --repair/);
    }
    for (const key of ['a', 'c'])
      expect(asText(await load(backend, await newest(backend, key)))).toEqual(asText(lineRows(0, 1000)));
    expect((await all(backend.changes({ after: 0n }, RUNNING))).map(({ key }) => key)).toEqual(['a', 'c']);
    expect((await save(backend, 'a', [])).revision).toBe(2n);
  });

  test.each([
    ['key', false],
    ['key', true],
    ['commit_time', false],
    ['update_time', true],
  ] as [ListOrder, boolean][])('is passed over by no list by %s, and hides no other', async (orderBy, descending) => {
    const { opened, other } = await damaged(open);
    await using closing = opened;
    await other[Symbol.asyncDispose]();
    const query = { prefix: '', filter: undefined, orderBy, descending };
    const { metadata } = await failureOf(all(closing.backend.list(query, RUNNING)));
    expect(metadata['damaged_key']).toBe('b');
    const list = inRole('primary', closing.backend, new CircuitBreaker('primary')).list(query, RUNNING);
    expect((await all(list)).map(({ key }) => key)).toEqual(descending ? ['c', 'a'] : ['a', 'c']);
    expect([...list.unreachable]).toEqual(['primary']);
  });

  test('gives way to a copy that replaces it, and to no other; then it is as it was', async () => {
    const { opened, other } = await damaged(open);
    await using closing = opened;
    await using copies = other;
    const source = await newest(copies, 'b');
    const kept = failureOf(closing.backend.copyIn(source, rowsOf(copies, source), KEEP, RUNNING));
    expect((await kept).reason).toBe('RESULT_CORRUPT');
    const copy = await closing.backend.copyIn(source, rowsOf(copies, source), REPLACE, RUNNING);
    expect(copy).toMatchObject({ revision: 1n, tags: { of: 'b' }, uploadId: source.uploadId });
    await expectWhole(closing.backend);
    await closing.reopen();
    await expectWhole(closing.backend);
    // The upload is known as the one that made it.
    await using upload = await closing.backend.openUpload(
      uploadSpec('b', source.uploadId, { problem: undefined }),
      RUNNING,
    );
    expect(upload.committed?.revision).toBe(1n);
    expect((await save(closing.backend, 'b', [lineRows(0, 2)])).revision).toBe(2n);
    await closing.sweep(Date.now() + 3_600_000);
    expect((await newest(closing.backend, 'b')).rowCount).toBe(2n);
    expect((await closing.backend.stats(RUNNING)).resultCount).toBe(3);
  });
}

async function expectWhole(backend: StorageBackend): Promise<void> {
  const keys = async (orderBy: ListOrder) =>
    (await all(backend.list({ prefix: '', filter: undefined, orderBy, descending: false }, RUNNING))).map(
      ({ key }) => key,
    );
  expect(await keys('key')).toEqual(['a', 'b', 'c']);
  expect(await keys('commit_time')).toEqual(['a', 'b', 'c']);
  expect(asText(await load(backend, await newest(backend, 'b')))).toEqual(asText(lineRows(0, 1000)));
  expect(await backend.stats(RUNNING)).toMatchObject({ resultCount: 3, uploadCount: 0 });
}
