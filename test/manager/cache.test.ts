import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { StorageBackend } from '../../server/backends/backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { StorageError } from '../../server/errors.js';
import { cached } from '../../server/manager/cache/cached.js';
import type { CacheMemory } from '../../server/manager/cache/result-cache.js';
import { ResultCache } from '../../server/manager/cache/result-cache.js';
import { CircuitBreaker } from '../../server/manager/circuit-breaker.js';
import { inRole } from '../../server/manager/role-store.js';
import type { Batch } from '../../server/rows/batch.js';
import { backendSuite, type OpenBackend } from '../backends/suite.js';
import { asText, lineRows, load, RUNNING, save } from '../backends/runs.js';

const MIB = 1024 * 1024;

const open: OpenBackend = async (times = {}) => {
  const memory = new MemoryBackend({ max_memory_mb: 256, ...times });
  const backend = cached(inRole('primary', memory, new CircuitBreaker('primary')), new ResultCache(16 * MIB));
  return {
    backend,
    sweep: (nowMs) => memory.sweep(nowMs),
    reopen: () => Promise.reject(new Error('memory does not outlive its process')),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
  };
};

backendSuite('cached(memory)', open, { durable: false });

/** A store that counts the reads that reach it, and makes each wait for a word. */
class SlowStore extends MemoryBackend {
  readCount = 0;
  wait: Promise<void> = Promise.resolve();
  failure: StorageError | undefined;

  constructor() {
    super({ max_memory_mb: 256, revision_retention_ms: 0 });
  }

  override async *read(...args: Parameters<MemoryBackend['read']>): AsyncGenerator<Batch> {
    this.readCount++;
    for await (const batch of super.read(...args)) {
      await this.wait;
      if (this.failure !== undefined) throw this.failure;
      yield batch;
    }
  }
}

function behindCache(limitMib = 16, makeMemory?: (evicted: () => void) => CacheMemory) {
  const store = new SlowStore();
  const cache = new ResultCache(limitMib * MIB, makeMemory);
  return { store, cache, backend: cached(inRole('primary', store, new CircuitBreaker('primary')), cache) };
}

async function loadKey(backend: StorageBackend, key: string, part = {}) {
  return asText(await load(backend, await backend.stat(key, undefined, RUNNING), part));
}

const WHOLE = { columns: [0, 1], firstRow: 0, rowCount: 10_000 };

describe('the cache', () => {
  test('answers what was loaded before, also parts of it, and says so', async () => {
    const { store, cache, backend } = behindCache();
    const manifest = await save(backend, 'k', [lineRows(0, 10_000)]);
    expect(backend.read(manifest, WHOLE, RUNNING).servedFrom).toBe('primary');
    await loadKey(backend, 'k');
    const reads = store.readCount;
    expect(backend.read(manifest, WHOLE, RUNNING).servedFrom).toBe('cache');
    expect(await loadKey(backend, 'k')).toEqual(asText(lineRows(0, 10_000)));
    expect(await loadKey(backend, 'k', { firstRow: 9_000, rowCount: 10 })).toEqual(asText(lineRows(9_000, 10)));
    expect(store.readCount).toBe(reads);
    expect(cache.stats()).toMatchObject({ hitCount: 3, tooLargeCount: 0, errorCount: 0, limitBytes: 16 * MIB });
    expect(cache.stats().sizeBytes).toBeGreaterThanOrEqual(160_000);
  });

  test('is not filled by a load of some columns or rows of a result that is not small', async () => {
    const { store, cache, backend } = behindCache();
    await save(backend, 'k', [lineRows(0, 10_000)]);
    await loadKey(backend, 'k', { columns: [1] });
    await loadKey(backend, 'k', { rowCount: 10 });
    expect(cache.stats()).toMatchObject({ hitCount: 0, missCount: 2, sizeBytes: 0 });
    expect(store.readCount).toBe(2);
  });

  test('shares one read among loads of the same result at the same time', async () => {
    const { store, cache, backend } = behindCache();
    await save(backend, 'k', [lineRows(0, 10_000)]);
    let go = () => undefined as void;
    store.wait = new Promise((resolve) => (go = resolve));
    const loads = Promise.all(Array.from({ length: 5 }, () => loadKey(backend, 'k')));
    await setTimeout(20);
    go();
    for (const loaded of await loads) expect(loaded).toEqual(asText(lineRows(0, 10_000)));
    expect(store.readCount).toBe(1);
    expect(cache.stats()).toMatchObject({ hitCount: 0, missCount: 5 });
  });

  test('lets one of several loads be cancelled, and the others go on', async () => {
    const { store, backend } = behindCache();
    const manifest = await save(backend, 'k', [lineRows(0, 10_000)]);
    let go = () => undefined as void;
    store.wait = new Promise((resolve) => (go = resolve));
    const cancel = new AbortController();
    const cancelled = backend.read(manifest, WHOLE, cancel.signal)[Symbol.asyncIterator]().next();
    const other = loadKey(backend, 'k');
    await setTimeout(20);
    cancel.abort();
    await expect(cancelled).rejects.toMatchObject({ reason: 'CANCELLED' });
    go();
    expect(await other).toEqual(asText(lineRows(0, 10_000)));
    expect(store.readCount).toBe(1);
  });

  test('forgets a key when it is saved or deleted', async () => {
    const { cache, backend } = behindCache();
    await save(backend, 'k', [lineRows(0, 10_000, 1)]);
    await loadKey(backend, 'k');
    await save(backend, 'k', [lineRows(0, 10_000, 2)]);
    expect(cache.stats().sizeBytes).toBe(0);
    expect(await loadKey(backend, 'k')).toEqual(asText(lineRows(0, 10_000, 2)));
    await backend.delete('k', undefined, RUNNING);
    expect(cache.stats().sizeBytes).toBe(0);
  });

  test('does not keep what was deleted while it was being read', async () => {
    const { store, cache, backend } = behindCache();
    await save(backend, 'k', [lineRows(0, 10_000)]);
    let go = () => undefined as void;
    store.wait = new Promise((resolve) => (go = resolve));
    const loading = loadKey(backend, 'k');
    await setTimeout(20);
    await backend.delete('k', undefined, RUNNING);
    go();
    expect(await loading).toEqual(asText(lineRows(0, 10_000)));
    expect(cache.stats().sizeBytes).toBe(0);
  });

  test('is passed by a result larger than a quarter of it', async () => {
    const { cache, backend } = behindCache(1);
    await save(backend, 'k', [lineRows(0, 20_000)]);
    expect(await loadKey(backend, 'k')).toEqual(asText(lineRows(0, 20_000)));
    expect(cache.stats()).toMatchObject({ tooLargeCount: 1, sizeBytes: 0 });
  });

  test('lets the least recently used go when it is full', async () => {
    const { cache, backend } = behindCache(1);
    for (const key of ['a', 'b', 'c', 'd', 'e']) await save(backend, key, [lineRows(0, 15_000)]);
    for (const key of ['a', 'b', 'c', 'd', 'a', 'e', 'a']) await loadKey(backend, key);
    expect(cache.stats()).toMatchObject({ hitCount: 2, missCount: 5 });
    expect(cache.stats().evictionCount).toBeGreaterThan(0);
    expect(cache.stats().sizeBytes).toBeLessThanOrEqual(MIB);
  });

  test('is a miss and a count when it fails, never a failed load', async () => {
    const broken = (): never => {
      throw new Error('no memory');
    };
    const { cache, backend } = behindCache(16, () => ({ sizeBytes: 0, get: broken, set: broken, delete: broken }));
    await save(backend, 'k', [lineRows(0, 10_000)]);
    expect(await loadKey(backend, 'k')).toEqual(asText(lineRows(0, 10_000)));
    expect(cache.stats()).toMatchObject({ hitCount: 0, missCount: 1 });
    expect(cache.stats().errorCount).toBeGreaterThan(0);
  });

  test('keeps nothing of a read that failed', async () => {
    const { store, cache, backend } = behindCache();
    await save(backend, 'k', [lineRows(0, 10_000)]);
    store.failure = new StorageError('RESULT_CORRUPT', 'damaged');
    await expect(loadKey(backend, 'k')).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
    store.failure = undefined;
    expect(await loadKey(backend, 'k')).toEqual(asText(lineRows(0, 10_000)));
    expect(cache.stats()).toMatchObject({ hitCount: 0, missCount: 2 });
  });
});
