import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createStorageManager, Direction, ValueType, VariableRole, valueAt } from '../../server/index.js';

const problem = {
  name: 'beam',
  variables: [
    { name: 'x', role: VariableRole.DESIGN_VARIABLE, valueType: ValueType.FLOAT64 },
    { name: 'material', role: VariableRole.OBSERVABLE, valueType: ValueType.STRING },
    { name: 'cost', role: VariableRole.OBJECTIVE, valueType: ValueType.FLOAT64, direction: Direction.MINIMIZE },
  ],
};
const columns = { x: [1, 2, 3], material: ['steel', null, ''], cost: [0.5, NaN, -0] };

async function withFolder(act: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'optistore-manager-'));
  try {
    await act(path);
  } finally {
    await rm(path, { recursive: true });
  }
}

describe('createStorageManager', () => {
  test('saves, loads and lists in process, and what was saved is there when it is made again', () =>
    withFolder(async (path) => {
      const config = { primary: { type: 'leveldb' as const, path }, use_cache: true, cache_size_mb: 20 };
      const first = await createStorageManager(config);
      const saved = await first.saveResult('runs/1', { problem, columns, tags: { solver: 'nsga2' } });
      expect(saved).toMatchObject({ key: 'runs/1', revision: 1n, rowCount: 3n, tags: { solver: 'nsga2' } });
      await first.close();

      await using manager = await createStorageManager(config);
      const keys: string[] = [];
      for await (const { key } of manager.listResults({ tags: { solver: 'nsga2' } })) keys.push(key);
      expect(keys).toEqual(['runs/1']);
      const loaded = await manager.loadResult('runs/1');
      expect(loaded.columns['cost']?.values).toEqual(Float64Array.from([0.5, NaN, -0]));
      const { material } = loaded.columns;
      expect([0, 1, 2].map((row) => material && valueAt(material, row))).toEqual(['steel', null, '']);
      await manager.loadResult('runs/1');
      expect(manager.cacheStats()).toMatchObject({ hitCount: 1, missCount: 1 });
    }));

  test('loads chosen columns and rows', async () => {
    await using manager = await createStorageManager({ primary: { type: 'memory', max_memory_mb: 16 } });
    await manager.saveResult('k', { problem, columns });
    const { columns: part } = await manager.loadResult('k', { columns: ['cost', 'x'], firstRow: 1, rowCount: 1 });
    expect(Object.keys(part)).toEqual(['cost', 'x']);
    expect(part['x']?.values).toEqual(Float64Array.from([2]));
    await expect(manager.loadResult('k', { columns: ['y'] })).rejects.toMatchObject({ reason: 'COLUMN_NOT_FOUND' });
    await expect(manager.loadResult('k', { firstRow: 4 })).rejects.toMatchObject({ reason: 'ROW_RANGE_INVALID' });
    await manager.delete('k', undefined, new AbortController().signal);
    await expect(manager.loadResult('k')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
  });

  test('stores a large result in pieces that load as they were', async () => {
    await using manager = await createStorageManager({
      primary: { type: 'memory', max_memory_mb: 64 },
      use_cache: false,
    });
    const x = Float64Array.from({ length: 500_000 }, (_, i) => Math.sin(i));
    const only = { variables: problem.variables.slice(0, 1) };
    await manager.saveResult('large', { problem: only, columns: { x } });
    expect((await manager.loadResult('large')).columns['x']?.values).toEqual(x);
    expect(manager.cacheStats()).toBeUndefined();
  });

  test('refuses bad input and stores nothing of it', async () => {
    await using manager = await createStorageManager({ primary: { type: 'memory', max_memory_mb: 16 } });
    await expect(manager.saveResult('', { problem, columns })).rejects.toMatchObject({ reason: 'KEY_INVALID' });
    await expect(manager.saveResult('k', { problem: { variables: [{}] }, columns: {} })).rejects.toThrow();
    await expect(manager.saveResult('k', { problem, columns: { ...columns, x: [1] } })).rejects.toThrow(/3|1/);
    await expect(manager.loadResult('k')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
  });
});
