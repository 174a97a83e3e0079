import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { composed } from '../../server/manager/compose.js';
import { StorageManager } from '../../server/manager/storage-manager.js';
import { Backend, ReplicationMode, ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import { createClient } from '../../clients/typescript/index.js';
import { LINE, lineRows, RUNNING, uploadSpec } from '../backends/runs.js';
import { RawSave, TestDaemon } from '../rpc/wire.js';

const MIB = 1024 * 1024;
const memory = () => new MemoryBackend({ max_memory_mb: 64 });

function managed(secondary: StorageBackend = memory()) {
  const stores = { primary: memory(), secondary, pinned: new MemoryBackend({ max_memory_mb: 1 }) };
  const manager = new StorageManager(composed(stores, undefined, ReplicationMode.NONE));
  return { ...stores, manager, [Symbol.asyncDispose]: () => manager.close() };
}

const result = (rowCount: number, factor = 1) => {
  const x = Float64Array.from({ length: rowCount }, (_, row) => row * factor);
  return { problem: LINE, columns: { x, f: x } };
};

describe('a result in the cache alone', () => {
  test('is loaded, listed, changed and deleted as all others', async () => {
    await using stores = managed();
    const { manager, primary } = stores;
    await manager.saveResult('a', result(1));
    await manager.saveResult('b', result(2), { to: 'cache' });
    await manager.saveResult('c', result(3));
    const keys = [];
    for await (const { key, rowCount } of manager.listResults()) keys.push(`${key} ${rowCount}`);
    expect(keys).toEqual(['a 1', 'b 2', 'c 3']);
    expect((await manager.loadResult('b')).columns['x']?.values).toEqual(result(2).columns.x);
    const changed = await manager.annotate('b', undefined, (manifest) => void (manifest.tags['t'] = 'x'), RUNNING);
    expect(changed).toMatchObject({ revision: 2n, tags: { t: 'x' } });
    expect(manager.read(changed, { columns: [0], firstRow: 0, rowCount: 2 }, RUNNING).servedFrom).toBe('cache');
    await expect(primary.stat('b')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    await manager.delete('b', 2, RUNNING);
    await expect(manager.loadResult('b')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
  });

  test('has revisions that go on behind those of the primary, and the other way round', async () => {
    await using stores = managed();
    const { manager, primary, pinned } = stores;
    await manager.saveResult('k', result(1));
    await manager.saveResult('k', result(2));
    const saved = await manager.saveResult('k', result(3), { to: 'cache', expectedRevision: 2 });
    expect(saved.revision).toBe(3n);
    expect((await manager.loadResult('k')).result.rowCount).toBe(3n);
    await expect(manager.saveResult('k', result(4), { to: 'cache', expectedRevision: 2 })).rejects.toMatchObject({
      reason: 'REVISION_MISMATCH',
      metadata: { revision: '3' },
    });
    // What is pinned is not lost: it becomes the primary's revision 3.
    expect((await manager.saveResult('k', result(5), { append: true })).revision).toBe(4n);
    expect((await manager.loadResult('k')).result.rowCount).toBe(8n);
    expect((await primary.stat('k', 3)).rowCount).toBe(3n);
    expect((await pinned.stats()).resultCount).toBe(0);
  });

  test('is deleted together with what the primary has of its key', async () => {
    await using stores = managed();
    const { manager } = stores;
    await manager.saveResult('k', result(1));
    await manager.saveResult('k', result(2), { to: 'cache' });
    await manager.delete('k', undefined, RUNNING);
    await expect(manager.loadResult('k')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    expect((await manager.saveResult('k', result(3))).revision).toBeGreaterThanOrEqual(3n);
  });

  test('has a limit of its own, is not replicated, and its append stays with it', async () => {
    await using stores = managed();
    const { manager } = stores;
    await expect(manager.saveResult('big', result(MIB / 8), { to: 'cache' })).rejects.toMatchObject({
      reason: 'MEMORY_LIMIT',
    });
    // What was refused gave its room back.
    await manager.saveResult('big', result(MIB / 8));
    await expect(manager.saveResult('k', result(1), { to: 'cache', replicate: true })).rejects.toMatchObject({
      reason: 'REQUEST_INVALID',
    });
    expect((await manager.saveResult('k', result(1), { to: 'cache' })).replication).toBe(ReplicationState.NONE);
    expect((await manager.saveResult('k', result(2), { to: 'cache', append: true })).rowCount).toBe(3n);
    await expect(manager.saveResult('big', result(1), { to: 'cache', append: true })).rejects.toMatchObject({
      reason: 'REQUEST_INVALID',
    });
  });

  test('that is migrated to the secondary is absent from the primary on purpose, and is not taken for lost', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-pinned-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const connection_string = `sqlite:///${join(folder, 'secondary.db')}`;
    await using stores = managed(await openDatabaseBackend({ connection_string }));
    const { manager, primary } = stores;
    for (const keepSource of [false, true]) {
      const key = keepSource ? 'copied' : 'moved';
      await manager.saveResult(key, result(10), { to: 'cache' });
      await manager.migrateResult(key, { from: 'cache', to: 'secondary', keepSource });
      expect(await primary.stat(key)).toMatchObject({ kind: RevisionKind.MOVED, revision: 1n });
    }
    await manager.deleteCopy('copied', 'cache', undefined, RUNNING);
    for (const key of ['moved', 'copied']) {
      expect((await manager.loadResult(key)).result.rowCount).toBe(10n);
      const manifest = await manager.stat(key, undefined, RUNNING);
      expect((await manager.placements(manifest, RUNNING)).map(({ role }) => role)).toEqual(['secondary']);
    }
    expect((await manager.status(RUNNING)).fallback).toMatchObject({ repairedCount: 0, failureCount: 0 });
  });

  test('is resumed where it was begun, whichever store is named', async () => {
    await using stores = managed();
    const { manager, pinned } = stores;
    for (const role of ['cache', 'primary'] as const) {
      const spec = uploadSpec(`to ${role}`, `to-${role}`);
      {
        await using upload = await manager.openUpload(spec, RUNNING, role);
        await upload.append(lineRows(0, 10));
        await upload.sync();
      }
      await using again = await manager.openUpload(spec, RUNNING, role === 'cache' ? 'primary' : 'cache');
      expect(again.nextRow).toBe(10);
      await again.commit({ rowCount: 10, outcome: 1, resultSets: [] });
    }
    expect(await pinned.stat('to cache')).toMatchObject({ rowCount: 10n });
    await expect(pinned.stat('to primary')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    await using ended = await manager.openUpload(uploadSpec('to cache', 'to-cache'), RUNNING);
    expect(ended.committed?.revision).toBe(1n);
  });
});

test('over the wire a save to the cache says that it is volatile, and GetResult tells where copies are', async () => {
  await using daemon = await TestDaemon.startWith({ secondary: { type: 'memory' } });
  await using client = createClient({ address: daemon.address });
  const raw = new RawSave(daemon.address);
  raw.send({ case: 'open', value: { key: 'k', problem: LINE, toBackend: Backend.CACHE } });
  expect(await raw.answer('opened')).toMatchObject({ volatile: true });
  raw.cancel();
  const refused = new RawSave(daemon.address);
  refused.send({ case: 'open', value: { key: 'k', problem: LINE, toBackend: Backend.SECONDARY } });
  expect(await refused.error()).toMatchObject({ reason: 'REQUEST_INVALID' });
  for (const [key, options] of [
    ['pinned', { to: 'cache' }],
    ['both', { replicate: 'sync' }],
  ] as const) {
    const writer = await client.save(key, LINE, options);
    await writer.append({ x: [1, 2], f: [3, 4] });
    await writer.commit();
  }
  const places = async (key: string) =>
    (await client.getResult(key)).placements.map(({ backend, revision }) => `${Backend[backend]} ${revision}`);
  expect(await places('pinned')).toEqual(['CACHE 1']);
  expect(await places('both')).toEqual(['PRIMARY 1', 'SECONDARY 1']);
  // A copy goes while there is another; the last one stays.
  await expect(client.deleteResult('pinned', { from: 'cache' })).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
  await expect(client.deleteResult('both', { from: 'primary', expectedRevision: 7n })).rejects.toMatchObject({
    reason: 'REVISION_MISMATCH',
  });
  expect(await client.deleteResult('both', { from: 'secondary' })).toBe(1n);
  expect(await places('both')).toEqual(['PRIMARY 1']);
  await expect(client.load('both', { from: 'secondary' }).toColumns()).rejects.toMatchObject({
    reason: 'RESULT_NOT_FOUND',
  });
  expect((await client.getStatus()).backends.map(({ role, type }) => `${Backend[role]} ${type}`)).toEqual([
    'PRIMARY leveldb',
    'SECONDARY memory',
    'CACHE memory',
  ]);
});
