import { afterEach, describe, expect, test, vi } from 'vitest';
import { ReplicationMode, ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { StorageError } from '../../server/errors.js';
import { ResultCache } from '../../server/manager/cache/result-cache.js';
import { CircuitBreaker } from '../../server/manager/circuit-breaker.js';
import { composed } from '../../server/manager/compose.js';
import { inRole } from '../../server/manager/role-store.js';
import { ServedRows } from '../../server/manager/served-rows.js';
import { StorageManager } from '../../server/manager/storage-manager.js';
import type { Stores } from '../../server/manager/stores.js';
import { all, commit, lineRows, RUNNING, save, uploadSpec } from '../backends/runs.js';
import { failing, Outage } from './outages.js';

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

const memory = (): MemoryBackend => {
  const store = new MemoryBackend({ max_memory_mb: 16 });
  opened.push(store);
  return store;
};

/** A manager over two stores in memory that fail when told to; `change` puts something before a store. */
function managed(change: (stores: Stores) => Stores = (stores) => stores) {
  const outages = { primary: new Outage(), secondary: new Outage() };
  const raw = { primary: memory(), secondary: memory(), pinned: memory() };
  const stores = change({
    primary: failing(() => raw.primary, outages.primary),
    secondary: failing(() => raw.secondary, outages.secondary),
    pinned: raw.pinned,
  });
  const manager = new StorageManager(composed(stores, new ResultCache(1024 * 1024), ReplicationMode.NONE));
  opened.push(manager);
  return { manager, raw, outages };
}

/** Saves so many rows through the manager. */
async function saved(manager: StorageManager, key: string, rowCount: number, role: 'primary' | 'cache' = 'primary') {
  await using upload = await manager.openUpload(uploadSpec(key, `${key}-${rowCount}`), RUNNING, role);
  await upload.append(lineRows(0, rowCount));
  return commit(upload);
}

/** Puts a copy of a result into another store, as replication does. */
async function copied(from: StorageBackend, to: StorageBackend, key: string) {
  const manifest = await from.stat(key, undefined, RUNNING);
  const read = (firstRow: number, signal: AbortSignal) =>
    from.read(manifest, { columns: [0, 1], firstRow, rowCount: Number(manifest.rowCount) - firstRow }, signal);
  await to.copyIn(manifest, read, { replace: false }, RUNNING);
}

describe('revisions over the cache and the stores', () => {
  test('a number that a deleted pinned result had is not given again', async () => {
    const { manager } = managed();
    await saved(manager, 'k', 1, 'cache');
    expect(await manager.delete('k', undefined, RUNNING)).toBe(2);
    expect((await saved(manager, 'k', 2)).revision).toBe(3n);
  });

  test('a deletion of a pinned result and of what lies below it has one number, also when the process has ended', async () => {
    const { manager, raw } = managed();
    await saved(manager, 'k', 1);
    await saved(manager, 'k', 2, 'cache');
    expect(await manager.delete('k', undefined, RUNNING)).toBe(3);
    expect(await raw.primary.stat('k')).toMatchObject({ kind: RevisionKind.DELETED, revision: 3n });
  });

  test('an upload that was open while its key was pinned commits behind the pinned result, which is kept', async () => {
    const { manager } = managed();
    await using upload = await manager.openUpload(uploadSpec('k', 'early'), RUNNING);
    await upload.append(lineRows(0, 5));
    expect((await saved(manager, 'k', 1, 'cache')).revision).toBe(1n);
    expect((await commit(upload)).revision).toBe(2n);
    expect((await manager.stat('k', undefined, RUNNING)).rowCount).toBe(5n);
    expect((await manager.stat('k', 1, RUNNING)).rowCount).toBe(1n);
  });

  test('a result that was pinned while the store was down does not stop later saves of its key', async () => {
    const { manager, outages } = managed();
    await saved(manager, 'k', 1);
    await saved(manager, 'k', 2);
    outages.primary.isDown = true;
    expect((await saved(manager, 'k', 3, 'cache')).revision).toBe(1n);
    outages.primary.end();
    expect((await saved(manager, 'k', 4)).revision).toBe(4n);
    expect((await manager.stat('k', 3, RUNNING)).rowCount).toBe(3n);
  });

  test('a commit follows upon a change that was made to a moved result meanwhile, and not told to the primary', async () => {
    const { manager, raw, outages } = managed();
    await saved(manager, 'k', 1);
    await copied(raw.primary, raw.secondary, 'k');
    await using upload = await manager.openUpload(uploadSpec('k', 'late'), RUNNING);
    await upload.append(lineRows(0, 2));
    await manager.deleteCopy('k', 'primary', 1, RUNNING);
    // The primary answers where the result is, and is gone before it is told of the new revision.
    outages.primary.stepsLeft = 2;
    const edit = (): void => undefined;
    await expect(manager.annotate('k', undefined, edit, RUNNING)).rejects.toMatchObject({
      reason: 'BACKEND_UNAVAILABLE',
    });
    outages.primary.end();
    expect((await manager.stat('k', undefined, RUNNING)).revision).toBe(2n);
    expect((await commit(upload)).revision).toBe(3n);
  });
});

test('what was moved to a secondary that is down is said to be unavailable, not absent', async () => {
  const { manager, raw, outages } = managed();
  await saved(manager, 'k', 1);
  await copied(raw.primary, raw.secondary, 'k');
  await manager.deleteCopy('k', 'primary', 1, RUNNING);
  outages.secondary.isDown = true;
  const unavailable = { reason: 'BACKEND_UNAVAILABLE', metadata: { store: 'secondary' } };
  await expect(manager.annotate('k', undefined, () => undefined, RUNNING)).rejects.toMatchObject(unavailable);
  for (const more of [{ append: true }, { expectedRevision: 1 }, { expectedRevision: 0 }])
    await expect(manager.openUpload(uploadSpec('k', 'more', more), RUNNING)).rejects.toMatchObject(unavailable);
});

test('a copy that was cut off is not gone on with for another revision of the same number', async () => {
  const [lost, anew, secondary] = [memory(), memory(), memory()];
  const first = await save(lost, 'k', [lineRows(0, 4)]);
  async function* cutOff() {
    yield lineRows(0, 2);
    throw new StorageError('BACKEND_UNAVAILABLE', 'down');
  }
  await expect(secondary.copyIn(first, cutOff, { replace: false }, RUNNING)).rejects.toThrow('down');
  await save(anew, 'k', [lineRows(0, 4, 9)]);
  await copied(anew, secondary, 'k');
  expect((await secondary.stat('k')).rowCount).toBe(4n);
});

test('a result that is brought down from the cache over a replicated one is replicated as well', async () => {
  const { manager, raw } = managed();
  await saved(manager, 'k', 1);
  await copied(raw.primary, raw.secondary, 'k');
  await raw.primary.setReplication('k', 1n, ReplicationState.DONE);
  await saved(manager, 'k', 2, 'cache');
  await saved(manager, 'k', 3);
  await vi.waitFor(async () => expect(await raw.secondary.stat('k')).toMatchObject({ revision: 3n, rowCount: 3n }));
});

test('of two copies that are removed at once, one is kept', async () => {
  const { manager, raw } = managed();
  await saved(manager, 'k', 1);
  await copied(raw.primary, raw.secondary, 'k');
  const removals = (['primary', 'secondary'] as const).map((role) => manager.deleteCopy('k', role, 1, RUNNING));
  expect((await Promise.allSettled(removals)).map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  expect((await manager.stat('k', undefined, RUNNING)).rowCount).toBe(1n);
});

test('a list leaves nothing out that is put back while it is read', async () => {
  const { manager, raw } = managed();
  for (const key of ['a', 'b', 'c']) await save(raw.secondary, key, [lineRows(0, 1)]);
  const listed: string[] = [];
  for await (const { key } of manager.list(
    { prefix: '', filter: undefined, orderBy: 'key', descending: false },
    RUNNING,
  )) {
    listed.push(key);
    // Another client's request had all of them put back.
    for (const lost of ['a', 'b', 'c']) await copied(raw.secondary, raw.primary, lost);
  }
  expect(listed).toEqual(['a', 'b', 'c']);
});

test('rows in the cache are not those of another store’s revision of the same number', async () => {
  const { manager, raw, outages } = managed();
  await save(raw.primary, 'k', [lineRows(0, 1, 3)]);
  await save(raw.secondary, 'k', [lineRows(0, 2, 7)]);
  const rowCountOf = async () => {
    const manifest = await manager.stat('k', undefined, RUNNING);
    const rowCount = Number(manifest.rowCount);
    const batches = await all(manager.read(manifest, { columns: [0], firstRow: 0, rowCount }, RUNNING));
    return [rowCount, batches.reduce((count, batch) => count + batch.rowCount, 0)];
  };
  expect(await rowCountOf()).toEqual([1, 1]);
  outages.primary.isDown = true;
  expect(await rowCountOf()).toEqual([2, 2]);
});

test('rows that were begun and are not wanted are let go', async () => {
  let isOpen = false;
  async function* rows() {
    isOpen = true;
    try {
      yield lineRows(0, 1);
      yield lineRows(1, 1);
    } finally {
      isOpen = false;
    }
  }
  const served = new ServedRows(() => 'primary', rows());
  await served.begin();
  expect(isOpen).toBe(true);
  await served.end();
  expect(isOpen).toBe(false);
});

describe('a circuit', () => {
  const down = () => Promise.reject(new StorageError('BACKEND_UNAVAILABLE', 'down'));
  const absent = () => Promise.reject(new StorageError('RESULT_NOT_FOUND', 'absent'));

  test('makes nobody wait for the one that asks whether the store is back', async () => {
    const breaker = new CircuitBreaker('primary', 0);
    for (let i = 0; i < 5; i++) await expect(breaker.run(down)).rejects.toThrow('down');
    const { promise, resolve } = withResolvers();
    const asking = breaker.run(() => promise);
    await expect(breaker.run(() => Promise.resolve())).rejects.toMatchObject({ reason: 'BACKEND_UNAVAILABLE' });
    resolve();
    await asking;
    await breaker.run(() => Promise.resolve());
    expect(breaker.isOpen).toBe(false);
  });

  test('counts failures on end: a store that refuses has answered', async () => {
    const breaker = new CircuitBreaker('primary');
    for (let i = 0; i < 20; i++) {
      await expect(breaker.run(down)).rejects.toThrow('down');
      await expect(breaker.run(absent)).rejects.toThrow('absent');
    }
    expect(breaker.isOpen).toBe(false);
  });
});

function withResolvers() {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

describe('a deletion of what is not replicated', () => {
  test('is never forgotten by a copy in the secondary, also where the daemon dies right behind it', async () => {
    const { manager, raw } = managed();
    await saved(manager, 'k', 10);
    await copied(raw.primary, raw.secondary, 'k');
    const markers: ReplicationState[] = [];
    const deleteNow = raw.primary.delete.bind(raw.primary);
    raw.primary.delete = async (key, expected) => {
      const revision = await deleteNow(key, expected);
      // As a daemon would find it that starts after this one was killed here.
      markers.push((await raw.primary.stat(key)).replication);
      return revision;
    };
    await manager.delete('k', 1, RUNNING);
    expect(markers).toEqual([ReplicationState.PENDING]);
    await vi.waitFor(async () => {
      expect((await raw.secondary.stat('k')).kind).toBe(RevisionKind.DELETED);
    });
  });
});

test('what is known of a result is told at once while a store is taken for dead', async () => {
  let asked = 0;
  const { manager, raw, outages } = managed((stores) => ({
    ...stores,
    primary: {
      ...stores.primary,
      stat: (...call) => {
        asked++;
        return stores.primary.stat(...call);
      },
    },
  }));
  await saved(manager, 'k', 10);
  await copied(raw.primary, raw.secondary, 'k');
  outages.primary.isDown = true;
  for (let i = 0; i < 6; i++) await manager.stat('k', undefined, RUNNING);
  const manifest = await manager.stat('k', undefined, RUNNING);
  asked = 0;
  expect((await manager.placements(manifest, RUNNING)).map(({ role }) => role)).toEqual(['secondary']);
  expect(asked).toBe(0);
});

test('a store that hangs is one that is down: its calls fail in time, then at once', async () => {
  const hanging = Object.create(memory(), { stat: { value: () => new Promise(() => undefined) } }) as StorageBackend;
  const breaker = new CircuitBreaker('secondary', 60_000);
  const store = inRole('secondary', hanging, breaker, 5);
  for (let i = 0; i < 5; i++) {
    await expect(store.stat('k', undefined, RUNNING)).rejects.toMatchObject({
      reason: 'BACKEND_UNAVAILABLE',
      message: expect.stringContaining('has not answered') as string,
      metadata: { store: 'secondary' },
    });
  }
  expect(breaker.isOpen).toBe(true);
});

describe('closing', () => {
  test('closes the secondary also where the primary fails to close, and says why', async () => {
    const closed: string[] = [];
    const closing = (name: string, store: StorageBackend): StorageBackend =>
      Object.assign(Object.create(store) as StorageBackend, {
        async [Symbol.asyncDispose]() {
          closed.push(name);
          if (name === 'primary') throw new StorageError('BACKEND_UNAVAILABLE', 'its disk is gone');
        },
      });
    const stores = { primary: closing('primary', memory()), secondary: closing('secondary', memory()) };
    const parts = { ...stores, pinned: closing('pinned', memory()) };
    const manager = new StorageManager(composed(parts, undefined, ReplicationMode.NONE));
    await expect(manager.close()).rejects.toMatchObject({ message: 'its disk is gone' });
    expect(closed).toEqual(['pinned', 'primary', 'secondary']);
  });
});
