import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createStorageManager, ValueType, VariableRole, type StorageManager } from '../../server/index.js';
import { all, RUNNING } from '../backends/runs.js';

const RESULT = {
  problem: { variables: [{ name: 'x', role: VariableRole.DESIGN_VARIABLE, valueType: ValueType.FLOAT64 }] },
  columns: { x: [0.5, 0.25, -0] },
};

let folder: string;
let manager: StorageManager;

const leveldb = () => ({ type: 'leveldb' as const, path: join(folder, 'results') });
const sqlite = () => ({ type: 'database' as const, connection_string: `sqlite:///${join(folder, 'results.db')}` });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'optistore-migration-'));
  manager = await createStorageManager({ primary: leveldb(), secondary: sqlite() });
});

afterEach(async () => {
  await manager.close();
  await rm(folder, { recursive: true });
});

const placesOf = async (key: string) => {
  const manifest = await manager.stat(key, undefined, RUNNING).catch(() => undefined);
  const copies = manifest === undefined ? [] : await manager.placements(manifest, RUNNING);
  return copies.map(({ role }) => role);
};
const keysOf = async () => (await all(manager.listResults())).map(({ key }) => key);

describe('in process', () => {
  test('a result is moved from the cache to the primary, as the guide has it', async () => {
    const saved = await manager.saveResult('run_001', RESULT, { to: 'cache' });
    const moved = await manager.migrateResult('run_001', { from: 'cache', to: 'primary' });
    expect(moved).toMatchObject({ key: 'run_001', revision: saved.revision, rowCount: 3n });
    expect(await placesOf('run_001')).toEqual(['primary']);
    await manager.close();
    manager = await createStorageManager({ primary: leveldb(), secondary: sqlite() });
    const loaded = await manager.loadResult('run_001');
    expect(loaded.columns['x']?.values).toEqual(Float64Array.from(RESULT.columns.x));
  });

  test('a result that is archived is found, changed and deleted as before', async () => {
    await manager.saveResult('run_001', RESULT);
    await manager.loadResult('run_001');
    await manager.migrateResult('run_001', { from: 'primary', to: 'secondary' });
    expect(await placesOf('run_001')).toEqual(['secondary']);
    expect(await keysOf()).toEqual(['run_001']);
    expect((await manager.loadResult('run_001')).columns['x']?.values).toHaveLength(3);
    const changed = await manager.annotate('run_001', 1, (manifest) => void (manifest.tags['a'] = 'b'), RUNNING);
    expect(changed.revision).toBe(2n);
    expect(await manager.migrateResult('run_001', { from: 'secondary', to: 'primary' })).toMatchObject({
      ...{ revision: 2n, tags: { a: 'b' } },
    });
    await manager.migrateResult('run_001', { from: 'primary', to: 'secondary' });
    await manager.delete('run_001', undefined, RUNNING);
    expect(await placesOf('run_001')).toEqual([]);
    expect(await keysOf()).toEqual([]);
  });

  test('a copy is not removed while the other one is on its way out', async () => {
    await manager.saveResult('run_001', RESULT);
    await manager.migrateResult('run_001', { from: 'primary', to: 'secondary', keepSource: true });
    const moved = manager.migrateResult('run_001', { from: 'primary', to: 'secondary' });
    const removed = manager.deleteCopy('run_001', 'secondary', undefined, RUNNING);
    await moved;
    await expect(removed).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    expect(await placesOf('run_001')).toEqual(['secondary']);
  });

  test('a store is migrated to another, and the two are swapped', async () => {
    for (const key of ['a', 'b', 'gone']) await manager.saveResult(key, RESULT);
    await manager.delete('gone', undefined, RUNNING);
    const [last] = (await all(manager.migrateStore(RUNNING))).slice(-1);
    expect(last?.end).toMatchObject({ isComplete: true, openUploadIds: [] });
    await manager.close();
    manager = await createStorageManager({ primary: sqlite() });
    expect(await keysOf()).toEqual(['a', 'b']);
    expect((await manager.loadResult('a')).result.revision).toBe(1n);
    expect((await manager.saveResult('gone', RESULT)).revision).toBe(3n);
  });
});
