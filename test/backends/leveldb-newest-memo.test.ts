import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { expect, onTestFinished, test } from 'vitest';
import { ManifestSchema, RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { DurableLevel } from '../../server/backends/leveldb/durable-level.js';
import { currentKey } from '../../server/backends/leveldb/index-entries.js';
import { IndexStore } from '../../server/backends/leveldb/index-store.js';
import { NewestMemo } from '../../server/backends/leveldb/newest-memo.js';
import { NEWEST_MEMO_BYTES_MAX } from '../../server/limits.js';
import { all } from './runs.js';

const entry = (revision: number, byteLength = 100) => ({
  manifest: create(ManifestSchema, { key: 'k', revision: BigInt(revision) }),
  byteLength,
});

/** What is stored, and how often it was read. */
function stored() {
  const memo = new NewestMemo();
  const store = { revision: 1, byteLength: 100, readCount: 0 };
  const read = async () => {
    store.readCount++;
    return entry(store.revision, store.byteLength);
  };
  return { memo, store, read, newest: async (key = 'k') => (await memo.get(key, read))?.revision };
}

test('what was read is given again without a read', async () => {
  const { store, newest } = stored();
  expect([await newest(), await newest()]).toEqual([1n, 1n]);
  expect(store.readCount).toBe(1);
});

test('a key that has none is not looked for again until it is written', async () => {
  const memo = new NewestMemo();
  let readCount = 0;
  const absent = () => {
    readCount++;
    return Promise.resolve({ manifest: undefined, byteLength: 0 });
  };
  expect([await memo.get('k', absent), await memo.get('k', absent)]).toEqual([undefined, undefined]);
  expect(readCount).toBe(1);
  await memo.whileWritten(['k'], () => Promise.resolve());
  expect((await memo.get('k', () => Promise.resolve(entry(1))))?.revision).toBe(1n);
});

test('a read that a write has overtaken is not kept', async () => {
  const { memo, store, newest } = stored();
  let end: (read: ReturnType<typeof entry>) => void = () => undefined;
  const overtaken = memo.get('k', () => new Promise((resolve) => (end = resolve)));
  await memo.whileWritten(['k'], async () => void (store.revision = 2));
  end(entry(1));
  await overtaken;
  expect(await newest()).toBe(2n);
});

test('while a key is written, it is read from where it lies and not kept, and other keys are', async () => {
  const { memo, store, newest } = stored();
  await newest();
  await memo.whileWritten(['k'], async () => {
    store.revision = 2;
    expect(await newest()).toBe(2n);
    // As a write that has not reached the disk would look.
    store.revision = 1;
    expect([await newest(), await newest('other')]).toEqual([1n, 1n]);
    store.revision = 2;
  });
  expect([await newest(), await newest('other')]).toEqual([2n, 1n]);
});

test('after a write that failed nothing is kept until one has succeeded', async () => {
  const { memo, store, newest } = stored();
  await newest();
  store.revision = 2;
  await expect(memo.whileWritten(['k'], () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  // What the failed write has left is seen …
  expect([await newest(), await newest('other')]).toEqual([2n, 2n]);
  // … and taken back before the next.
  await memo.whileWritten(['third'], async () => void (store.revision = 1));
  expect([await newest(), await newest('other')]).toEqual([1n, 1n]);
});

test('what it keeps is bounded by bytes, not by their number', async () => {
  const { store, newest } = stored();
  store.byteLength = NEWEST_MEMO_BYTES_MAX / 64;
  for (let i = 0; i < 8; i++) await newest(`k${i}`);
  store.readCount = 0;
  for (let i = 0; i < 8; i++) await newest(`k${i}`);
  expect(store.readCount).toBeGreaterThan(0);
});

test('what it is told to forget is read again', async () => {
  const { memo, store, newest } = stored();
  await newest();
  store.revision = 2;
  memo.forget('k');
  expect(await newest()).toBe(2n);
});

test('an entry that is damaged after it was looked up is found by a list, and from then on by lookups', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'optistore-memo-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await using index = await IndexStore.open(join(folder, 'index'), () => Promise.resolve());
  await index.write(index.replaceCurrent({ ...entry(1).manifest, kind: RevisionKind.COMMITTED }, undefined));
  expect(await index.newest('k')).toMatchObject({ revision: 1n });
  const { level } = index as unknown as { level: DurableLevel };
  await level.batch([{ type: 'put', key: currentKey('k'), value: Buffer.from('damaged') }]);
  expect(await index.newest('k')).toMatchObject({ revision: 1n });
  const listed = all(index.list({ prefix: '', orderBy: 'key', descending: false }));
  await expect(listed).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
  await expect(index.newest('k')).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
});
