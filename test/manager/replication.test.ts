import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import { createClient } from '../../clients/typescript/index.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { openDatabaseBackend, type DatabaseBackend } from '../../server/backends/database/database-backend.js';
import { openLeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { createStorageManager, type ManagerConfig } from '../../server/index.js';
import { CircuitBreaker } from '../../server/manager/circuit-breaker.js';
import { composed } from '../../server/manager/compose.js';
import { replicated } from '../../server/manager/decorators/replicated.js';
import { Mirroring } from '../../server/manager/replication/mirroring.js';
import { Outbox } from '../../server/manager/replication/outbox.js';
import { inRole } from '../../server/manager/role-store.js';
import { StorageManager } from '../../server/manager/storage-manager.js';
import { PostgresServer } from '../backends/postgres.js';
import { all, asText, LINE, lineRows, load, RUNNING, save } from '../backends/runs.js';
import { TestDaemon } from '../rpc/wire.js';
import { ReplicationMode } from '../../proto/gen/optistore/v1/result_pb.js';

let server: PostgresServer;
let folder: string;
beforeAll(async () => {
  server = await PostgresServer.start();
  folder = await mkdtemp(join(tmpdir(), 'optistore-replication-'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const WAIT = { timeout: 60_000, interval: 20 };
let storeCount = 0;
const leveldb = () => ({ type: 'leveldb' as const, path: join(folder, `primary-${storeCount++}`) });

const result = (rowCount: number, factor = 1) => {
  const x = Float64Array.from({ length: rowCount }, (_, row) => row * factor);
  return { problem: LINE, columns: { x, f: x.map((value) => -value) } };
};

/** Each change of a store, in their order: `key@revision`, and `!` for a deletion. */
async function changesOf(backend: StorageBackend): Promise<string[]> {
  const manifests = await all(backend.changes({ after: 0n }, RUNNING));
  return manifests.map(({ key, revision, problem }) => `${problem === undefined ? '!' : ''}${key}@${revision}`);
}

/** Waits until nothing is pending. */
async function caughtUp(manager: StorageManager): Promise<void> {
  await vi.waitFor(async () => {
    const { stores } = await manager.status(RUNNING);
    expect(stores[0]?.pendingCount).toBe(0);
  }, WAIT);
}

async function sameRows(manifest: Manifest, from: StorageBackend, to: StorageBackend): Promise<void> {
  const copy = await to.stat(manifest.key, Number(manifest.revision), RUNNING);
  expect(asText(await load(to, copy))).toEqual(asText(await load(from, manifest)));
  for (const field of ['tags', 'description', 'commitTime', 'updateTime', 'uploadId', 'columns', 'resultSets'] as const)
    expect(copy[field]).toEqual(manifest[field]);
}

/** A manager on two stores that the test sees as well. */
async function managed(mode = ReplicationMode.NONE) {
  const primary = await openLeveldbBackend(leveldb());
  const secondary = new MemoryBackend({ max_memory_mb: 64 });
  const pinned = new MemoryBackend({ max_memory_mb: 16 });
  const manager = new StorageManager(composed({ primary, secondary, pinned }, undefined, mode));
  return { primary, secondary, manager, [Symbol.asyncDispose]: () => manager.close() };
}

describe('a secondary that is down', () => {
  test('gets everything when it is back: 200 saves, updates and deletions, in order, once', async () => {
    const connection_string = await server.createDatabase();
    const primary = leveldb();
    const config: ManagerConfig = { primary, secondary: { type: 'database', connection_string }, replication: 'async' };
    {
      await using manager = await createStorageManager(config);
      await server.down();
      for (let i = 0; i < 200; i++) {
        const saved = await manager.saveResult(`runs/${i}`, result(i % 7 === 0 ? 20_000 : i));
        expect(saved.replication).toBe(ReplicationState.PENDING);
      }
      await manager.saveResult('runs/3', result(5, 3));
      await manager.annotate('runs/4', undefined, (manifest) => void (manifest.tags['late'] = 'yes'), RUNNING);
      await manager.delete('runs/5', undefined, RUNNING);
      const { stores } = await manager.status(RUNNING);
      expect(stores[0]).toMatchObject({ pendingCount: 200, oldestPendingMs: expect.any(Number) as number });
      expect(stores[1]?.failure).toContain("can't be reached");
      await vi.waitFor(async () => {
        const { replication } = await manager.status(RUNNING);
        expect(replication?.failureCount).toBeGreaterThan(0);
        expect(replication?.lastFailure).toContain("can't be reached");
      }, WAIT);
      await server.up();
      await caughtUp(manager);
      // Once: what was saved twice meanwhile was copied as it was at last.
      expect((await manager.status(RUNNING)).replication).toMatchObject({ copiedCount: 200, lastFailure: '' });
    }
    await using from = await openLeveldbBackend(primary);
    await using to = await openDatabaseBackend({ connection_string });
    const changes = await changesOf(from);
    expect(changes).toHaveLength(200);
    expect(changes.slice(-3)).toEqual(['runs/3@2', 'runs/4@2', '!runs/5@2']);
    expect(await changesOf(to)).toEqual(changes);
    for await (const manifest of from.changes({ after: 0n }, RUNNING)) {
      expect(manifest.replication).toBe(ReplicationState.DONE);
      if (manifest.problem !== undefined) await sameRows(manifest, from, to);
    }
  });

  test('does so too when the daemon is killed with a full outbox', async () => {
    const connection_string = await server.createDatabase();
    const secondary = { type: 'database', connection_string };
    await using daemon = await TestDaemon.startWith({ secondary, replication: 'async' });
    await using client = createClient({ address: daemon.address });
    await server.down();
    for (let i = 0; i < 60; i++) {
      const writer = await client.save(`runs/${i}`, LINE);
      await writer.append(result(i).columns);
      expect((await writer.commit()).replication).toBe(ReplicationState.PENDING);
    }
    expect((await client.getStatus()).replication?.pendingCount).toBe(60n);
    await daemon.process.stop('SIGKILL');
    await daemon.restart();
    expect((await client.getStatus()).replication?.pendingCount).toBe(60n);
    // Killed again in the middle of copying.
    await server.up();
    await using there: DatabaseBackend = await openDatabaseBackend({ connection_string });
    await vi.waitFor(async () => expect((await there.stats()).resultCount).toBeGreaterThan(3), WAIT);
    await daemon.process.stop('SIGKILL');
    await daemon.restart();
    await vi.waitFor(async () => expect((await client.getStatus()).replication?.pendingCount).toBe(0n), WAIT);
    await daemon.process.stop('SIGTERM');
    await using from = await openLeveldbBackend({ path: join(daemon.folder, 'data') });
    const changes = await changesOf(from);
    expect(changes).toEqual(Array.from({ length: 60 }, (_, i) => `runs/${i}@1`));
    expect(await changesOf(there)).toEqual(changes);
    for await (const manifest of from.changes({ after: 0n }, RUNNING)) await sameRows(manifest, from, there);
  });
});

describe('replication', () => {
  test('of a save that waits for it has the copy when it is answered', async () => {
    await using stores = await managed();
    const { manager, primary, secondary } = stores;
    const saved = await manager.saveResult('k', result(100), { replicate: 'sync' });
    expect(saved.replication).toBe(ReplicationState.DONE);
    await sameRows(await primary.stat('k'), primary, secondary);
  });

  test('that waits lands in the primary when the secondary is down, says so, and is made up for', async () => {
    const connection_string = await server.createDatabase();
    const secondary = { type: 'database' as const, connection_string };
    await using manager = await createStorageManager({ primary: leveldb(), secondary, replication: 'sync' });
    await server.down();
    const saved = await manager.saveResult('k', result(100));
    expect(saved).toMatchObject({ revision: 1n, replication: ReplicationState.PENDING });
    expect((await manager.loadResult('k')).columns['x']?.values).toEqual(result(100).columns.x);
    expect((await manager.status(RUNNING)).replication?.lastFailure).toContain("can't be reached");
    await server.up();
    await caughtUp(manager);
    const { result: loaded } = await manager.loadResult('k');
    expect(loaded.replication).toBe(ReplicationState.DONE);
  });

  test('goes on with all that follows upon a replicated save: updates, sets, appends, deletions', async () => {
    await using stores = await managed();
    const { manager, primary, secondary } = stores;
    await manager.saveResult('k', result(100), { replicate: true });
    await manager.saveResult('other', result(100));
    await manager.annotate('k', undefined, (manifest) => void (manifest.description = 'new'), RUNNING);
    const rows = { form: { case: 'list' as const, value: new Uint8Array(8) } };
    const set = { name: 's', operation: 0, parents: [], createdBy: '', description: '' };
    await manager.putResultSet(
      'k',
      { ...set, rows: { $typeName: 'optistore.v1.RowNumbers', ...rows } },
      undefined,
      RUNNING,
    );
    await manager.saveResult('k', result(10), { append: true });
    await caughtUp(manager);
    const newest = await primary.stat('k');
    expect(newest).toMatchObject({ revision: 4n, rowCount: 110n, description: 'new' });
    await sameRows(newest, primary, secondary);
    await manager.delete('k', undefined, RUNNING);
    await caughtUp(manager);
    expect(await changesOf(secondary)).toEqual(['!k@5']);
    await expect(secondary.stat('other')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
  });

  test('that can never succeed is FAILED, is told, and holds up nothing else', async () => {
    await using stores = await managed(ReplicationMode.ASYNC);
    const { manager, primary, secondary } = stores;
    // Written behind the manager's back: two revisions of one number.
    await save(secondary, 'k', [lineRows(0, 3)]);
    await save(primary, 'k', [lineRows(0, 5)], { replication: ReplicationMode.ASYNC });
    await manager.saveResult('after', result(10));
    await caughtUp(manager);
    expect((await primary.stat('k')).replication).toBe(ReplicationState.FAILED);
    expect((await primary.stat('after')).replication).toBe(ReplicationState.DONE);
    const { replication } = await manager.status(RUNNING);
    expect(replication).toMatchObject({ failureCount: 1, copiedCount: 1 });
    expect((await secondary.stat('k')).rowCount).toBe(3n);
    // The next revision is greater, and replaces it.
    await manager.saveResult('k', result(7));
    await caughtUp(manager);
    expect((await secondary.stat('k')).rowCount).toBe(7n);
  });

  test('from a primary that two daemons share is made by the one that made the change, and by the other when that one is gone', async () => {
    const connection_string = await server.createDatabase();
    const openShared = () => openDatabaseBackend({ connection_string });
    await using secondary = new MemoryBackend({ max_memory_mb: 64 });
    const [one, two] = [await openShared(), await openShared()];
    // The first one's outbox is never started: it dies before it copies anything.
    const dead = new Outbox(one, secondary);
    const store = replicated(inRole('primary', one, new CircuitBreaker('primary')), {
      ...{ outbox: dead, mirroring: new Mirroring(), mode: ReplicationMode.NONE },
    });
    for (const key of ['a', 'b']) await save(store, key, [lineRows(0, 10)], { replication: ReplicationMode.ASYNC });
    await using patient = new Outbox(two, secondary, 3_600_000);
    patient.start();
    await save(two, 'left', [lineRows(0, 10)], { replication: ReplicationMode.ASYNC });
    patient.ring(await two.stat('left'));
    await vi.waitFor(() => expect(patient.counts().copiedCount).toBe(1), WAIT);
    expect(await changesOf(secondary)).toEqual(['left@1']);
    await using heir = new Outbox(two, secondary, 0);
    heir.start();
    await vi.waitFor(() => expect(heir.counts().copiedCount).toBe(2), WAIT);
    expect(await changesOf(secondary)).toEqual(['left@1', 'a@1', 'b@1']);
    await dead[Symbol.asyncDispose]();
    await patient[Symbol.asyncDispose]();
    await heir[Symbol.asyncDispose]();
    await Promise.all([one, two].map((backend) => backend[Symbol.asyncDispose]()));
  });

  test('without a secondary is refused', async () => {
    await using manager = await createStorageManager({ primary: leveldb() });
    for (const replicate of [true, 'sync'] as const)
      await expect(manager.saveResult('k', result(1), { replicate })).rejects.toMatchObject({ reason: 'NO_SECONDARY' });
    await manager.saveResult('k', result(1), { replicate: false });
  });

  test('deletes also a copy that is not replicated, when the result is deleted', async () => {
    await using stores = await managed();
    const { manager, primary, secondary } = stores;
    await manager.saveResult('k', result(10));
    const own = await primary.stat('k');
    await secondary.copyIn(
      own,
      () => primary.read(own, { columns: [0, 1], firstRow: 0, rowCount: 10 }, RUNNING),
      { replace: false },
      RUNNING,
    );
    await manager.delete('k', undefined, RUNNING);
    await caughtUp(manager);
    expect(await changesOf(secondary)).toEqual(['!k@2']);
  });
});
