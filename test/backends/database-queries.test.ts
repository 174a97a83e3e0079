import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import sqlite3 from 'sqlite3';
import { expect, test } from 'vitest';
import { Direction, ProblemSchema, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { codeBlocks } from '../docs/code-blocks.js';
import { PostgresServer } from './postgres.js';
import { lineRows, RUNNING, save } from './runs.js';

/** The queries that docs/database.md shows, in its order. */
const QUERIES = codeBlocks(readFileSync('docs/database.md', 'utf8'), 'sql');

const PROBLEM = create(ProblemSchema, {
  name: 'wing',
  solver: 'nsga2',
  variables: [
    { name: 'x', role: VariableRole.DESIGN_VARIABLE, valueType: ValueType.FLOAT64 },
    { name: 'drag', role: VariableRole.OBJECTIVE, valueType: ValueType.FLOAT64, direction: Direction.MINIMIZE },
  ],
});

async function fill(backend: StorageBackend): Promise<void> {
  for (const [key, rowCount, team] of [
    ['runs/1', 5, 'aero'],
    ['runs/2', 9, 'aero'],
    ['runs/3', 2, 'hull'],
  ] as const) {
    await save(backend, key, [lineRows(0, rowCount)], { problem: PROBLEM, tags: { team } });
  }
  await save(backend, 'runs/gone', [lineRows(0, 50)], { problem: PROBLEM, tags: { team: 'aero' } });
  await backend.delete('runs/gone', undefined, RUNNING);
}

/** What the documentation's queries answer. */
const ANSWERS = [
  [
    { key: 'runs/2', problem: 'wing', row_count: 9 },
    { key: 'runs/1', problem: 'wing', row_count: 5 },
  ],
  [
    { key: 'runs/2', value: -8 },
    { key: 'runs/1', value: -4 },
    { key: 'runs/3', value: -1 },
  ],
  [{ solver: 'nsga2', runs: 3, evaluations: 16 }],
];

/** Numbers that PostgreSQL gives as text. */
function plain(rows: readonly Record<string, unknown>[]): unknown[] {
  return rows.map((row) =>
    Object.fromEntries(
      Object.entries(row)
        .filter(([name]) => name !== 'bytes')
        .map(([name, value]) => [name, /^-?\d+$/.test(String(value)) ? Number(value) : value]),
    ),
  );
}

test('the queries of the documentation answer in SQLite, while the daemon has the file open', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'optistore-queries-'));
  const file = join(folder, 'results.db');
  try {
    await using backend = await openDatabaseBackend({ connection_string: `sqlite:///${file}` });
    await fill(backend);
    const database = new sqlite3.Database(file, sqlite3.OPEN_READONLY);
    for (const [i, sql] of QUERIES.entries()) {
      const rows = await new Promise<Record<string, unknown>[]>((resolve, reject) =>
        database.all<Record<string, unknown>>(sql, (error, found) => (error === null ? resolve(found) : reject(error))),
      );
      expect(plain(rows)).toEqual(ANSWERS[i]);
    }
    await new Promise((resolve) => database.close(resolve));
  } finally {
    await rm(folder, { recursive: true });
  }
  expect(QUERIES).toHaveLength(ANSWERS.length);
});

test('the queries of the documentation answer in PostgreSQL', async () => {
  await using server = await PostgresServer.start();
  const connection_string = await server.createDatabase();
  await using backend = await openDatabaseBackend({ connection_string });
  await fill(backend);
  for (const [i, sql] of QUERIES.entries())
    expect(plain(await server.query(connection_string, sql))).toEqual(ANSWERS[i]);
});
