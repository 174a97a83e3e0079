import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BackendConfig } from '../../server/backends/open-backend.js';
import {
  createStorageManager,
  SetOperation,
  type StorageManager,
  ValueType,
  valueAt,
  VariableRole,
} from '../../server/index.js';
import { copyResult, type CopyProgress } from '../../server/manager/copy-result.js';

const problem = {
  name: 'beam',
  variables: [
    { name: 'x', role: VariableRole.DESIGN_VARIABLE, valueType: ValueType.FLOAT64 },
    { name: 'n', role: VariableRole.OBSERVABLE, valueType: ValueType.INT64 },
    { name: 'ok', role: VariableRole.OBSERVABLE, valueType: ValueType.BOOL },
    { name: 'note', role: VariableRole.OBSERVABLE, valueType: ValueType.STRING },
  ],
};
const signal = new AbortController().signal;

function columnsOf(rowCount: number) {
  const rows = Array.from({ length: rowCount }, (_, i) => i);
  return {
    x: rows.map((i) => (i % 5 === 4 ? null : i + 0.5)),
    n: rows.map((i) => BigInt(i) * -3n),
    ok: rows.map((i) => (i % 7 === 6 ? null : i % 2 === 0)),
    note: rows.map((i) => (i % 3 === 2 ? null : 'ä'.repeat(i % 4))),
  };
}

async function withManager(type: string, act: (manager: StorageManager) => Promise<void>, use_cache = true) {
  const path = await mkdtemp(join(tmpdir(), 'optistore-sets-'));
  const primary: BackendConfig = type === 'memory' ? { type, max_memory_mb: 64 } : { type: 'leveldb', path };
  try {
    await using manager = await createStorageManager({ primary, use_cache });
    await act(manager);
  } finally {
    await rm(path, { recursive: true });
  }
}

const STORES: readonly [type: string, use_cache: boolean][] = [
  ['memory', false],
  ['leveldb', false],
  ['leveldb', true],
];

describe.each(STORES)('in process, with %s as the primary, cache: %s', (type, useCache) => {
  test('any rows of a set load as the whole result has them', () =>
    withManager(
      type,
      async (manager) => {
        const rowCount = 300;
        const columns = columnsOf(rowCount);
        await manager.saveResult('any', { problem, columns });
        const anyRows = fc.uniqueArray(fc.nat({ max: rowCount - 1 }), { maxLength: 80 });
        const property = fc.asyncProperty(
          anyRows,
          fc.nat({ max: 90 }),
          fc.nat({ max: 90 }),
          async (rows, first, count) => {
            rows.sort((a, b) => a - b);
            const resultSets = [{ name: 's', rows }];
            await manager.saveResult('any', { problem, columns, resultSets });
            const firstRow = Math.min(first, rows.length);
            const loaded = await manager.loadResult('any', { resultSet: 's', firstRow, rowCount: count });
            const wanted = rows.slice(firstRow, firstRow + count);
            expect([...(loaded.rowNumbers ?? [])]).toEqual(wanted);
            for (const [name, values] of Object.entries(columns)) {
              const column = loaded.columns[name];
              if (column === undefined) throw new Error(`${name} was not loaded`);
              expect(wanted.map((_, i) => valueAt(column, i))).toEqual(wanted.map((row) => values[row] ?? null));
            }
          },
        );
        await fc.assert(property, { numRuns: 25 });
      },
      useCache,
    ));

  test('sets are made, joined and deleted', () =>
    withManager(
      type,
      async (manager) => {
        const resultSets = [
          { name: 'a', rows: [0, 1, 2] },
          { name: 'b', rows: [[2, 5]] as const, description: 'from 2 on' },
        ];
        const saved = await manager.saveResult('k', { problem, columns: columnsOf(5), resultSets });
        expect(saved.resultSets.map(({ name, rowCount }) => [name, rowCount])).toEqual([
          ['a', 3n],
          ['b', 3n],
        ]);
        const set = { name: 'c', rows: undefined, parents: ['a', 'b'], createdBy: 'me', description: '' };
        await manager.putResultSet('k', { ...set, operation: SetOperation.UNION }, 1, signal);
        const loaded = await manager.loadResult('k', { resultSet: 'c', columns: ['n'] });
        expect(loaded.columns['n']?.values).toEqual(BigInt64Array.of(0n, -3n, -6n, -9n, -12n));
        await manager.deleteResultSet('k', 'c', undefined, signal);
        const gone = { reason: 'RESULT_SET_NOT_FOUND' };
        await expect(manager.loadResult('k', { resultSet: 'c' })).rejects.toMatchObject(gone);
        const bad = manager.saveResult('k', { problem, columns: columnsOf(2), resultSets });
        await expect(bad).rejects.toMatchObject({ reason: 'RESULT_SET_INVALID' });
        expect((await manager.loadResult('k')).result.rowCount).toBe(5n);
        const appended = await manager.saveResult('k', { problem, columns: columnsOf(2) }, { append: true });
        expect(appended.resultSets.map(({ name }) => name)).toEqual(['a', 'b']);
      },
      useCache,
    ));

  test('a move whose source is changed meanwhile keeps both, and says so', () =>
    withManager(
      type,
      async (manager) => {
        await manager.saveResult('from', { problem, columns: columnsOf(10) });
        const put = {
          name: 's',
          rows: undefined,
          operation: SetOperation.UNSPECIFIED,
          parents: [],
          createdBy: '',
          description: '',
        };
        // The copy is committed, and before the source is deleted someone changes it.
        const removing = manager.delete.bind(manager);
        manager.delete = async (key, expected, at) => {
          await manager.putResultSet('from', put, undefined, at);
          return removing(key, expected, at);
        };
        const copying = copyResult(manager, { ...spec, key: 'from', toKey: 'to', removeSource: true }, signal);
        await expect(all(copying)).rejects.toMatchObject({
          reason: 'REVISION_MISMATCH',
          metadata: { copy_revision: '1' },
        });
        expect((await manager.loadResult('from')).result.rowCount).toBe(10n);
        expect((await manager.loadResult('to')).result.rowCount).toBe(10n);
      },
      useCache,
    ));

  test('a copy that is cancelled, or whose rows are not those that were committed, leaves nothing behind', () =>
    withManager(
      type,
      async (manager) => {
        await manager.saveResult('from', { problem, columns: columnsOf(1000) });
        const gone = AbortSignal.abort();
        await expect(all(copyResult(manager, { ...spec, key: 'from', toKey: 'to' }, gone))).rejects.toThrow();
        const stat = manager.stat.bind(manager);
        manager.stat = async (...asked) => {
          const manifest = await stat(...asked);
          const [first] = manifest.columns;
          if (first !== undefined) manifest.columns[0] = { ...first, valuesCrc32: first.valuesCrc32 ^ 1 };
          return manifest;
        };
        const corrupt = all(copyResult(manager, { ...spec, key: 'from', toKey: 'to', removeSource: true }, signal));
        await expect(corrupt).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
        manager.stat = stat;
        await expect(manager.loadResult('to')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
        expect((await manager.loadResult('from')).result.rowCount).toBe(1000n);
        expect(await all(manager.uploads({ prefix: '' }, signal))).toEqual([]);
      },
      useCache,
    ));
});

const spec = { createdBy: '', revision: undefined, expectedRevision: 0, removeSource: false };

async function all<T extends CopyProgress | object>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
