import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BackendConfig } from '../../server/backends/open-backend.js';
import { createStorageManager, Direction, ValueType, VariableRole } from '../../server/index.js';
import { PostgresServer } from '../backends/postgres.js';

let folder: string;
let postgres: PostgresServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'optistore-guide-'));
  postgres = await PostgresServer.start();
});

afterAll(async () => {
  await postgres[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const stores: Readonly<Record<string, () => Promise<BackendConfig>>> = {
  leveldb: async () => ({ type: 'leveldb', path: join(folder, 'results_store') }),
  filesystem: async () => ({ type: 'filesystem', base_path: join(folder, 'results_folders') }),
  sqlite: async () => ({ type: 'database', connection_string: `sqlite:///${join(folder, 'results.db')}` }),
  postgresql: async () => ({ type: 'database', connection_string: await postgres.createDatabase() }),
  memory: async () => ({ type: 'memory', max_memory_mb: 64 }),
};

const result = {
  problem: {
    name: 'beam',
    variables: [
      { name: 'x', role: VariableRole.DESIGN_VARIABLE, valueType: ValueType.FLOAT64 },
      { name: 'f', role: VariableRole.OBJECTIVE, valueType: ValueType.FLOAT64, direction: Direction.MINIMIZE },
    ],
  },
  columns: { x: [1, 2, 3], f: [0.5, 0.25, 0.75] },
};

describe.each(Object.entries(stores))('the example workflow of the guide, on %s', (_, config) => {
  test('sets storage up, saves a result, loads it, lists what there is, and cleans up', async () => {
    // 1. Setup storage
    const manager = await createStorageManager({ primary: await config(), use_cache: true });

    // 2. Save a result
    await manager.saveResult('experiment_1', result);

    // 3. Load a result (checks cache first, then the store)
    const loaded = await manager.loadResult('experiment_1');
    expect(loaded.columns['x']?.values).toEqual(Float64Array.from(result.columns.x));
    expect(loaded.columns['f']?.values).toEqual(Float64Array.from(result.columns.f));
    expect(loaded.result.problem?.name).toBe('beam');
    await manager.loadResult('experiment_1');
    expect(manager.cacheStats()).toMatchObject({ hitCount: 1, missCount: 1 });

    // 4. List available results
    const keys: string[] = [];
    for await (const { key } of manager.listResults({ filter: 'problem = beam AND best.f <= 0.25' })) keys.push(key);
    expect(keys).toEqual(['experiment_1']);

    // 5. Cleanup
    await manager.close();
  });
});
