import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { BackendState } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { parseConnectionString } from '../../server/backends/database/connection-string.js';
import { Database } from '../../server/backends/database/database.js';
import { until } from '../cli/cli.js';
import { TestDaemon } from '../rpc/wire.js';
import { PostgresServer } from './postgres.js';

/** What a connection of a store says of its settings. */
async function settingsOf(connection: string, queries: readonly string[]): Promise<unknown[]> {
  await using database = new Database(parseConnectionString(connection));
  const answers: unknown[] = [];
  for (const sql of queries) {
    const answer = await database.query(async (open) => (await open.raw(sql)) as unknown);
    const rows = Array.isArray(answer) ? answer : (answer as { rows: unknown[] }).rows;
    answers.push(...(Object.values(rows[0] as object) as unknown[]));
  }
  return answers;
}

test('SQLite waits for the disk at each commit, and writes its log ahead', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'optistore-settings-'));
  try {
    const queries = ['PRAGMA synchronous', 'PRAGMA journal_mode', 'PRAGMA foreign_keys'];
    const FULL = 2;
    expect(await settingsOf(`sqlite:///${join(folder, 'data.db')}`, queries)).toEqual([FULL, 'wal', 1]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe('PostgreSQL', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await PostgresServer.start();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test.each([
    ['off', 'on'],
    ['on', 'on'],
    ['remote_apply', 'remote_apply'],
  ])('whose database has synchronous_commit %s is asked for %s', async (set, is) => {
    const connection = await server.createDatabase();
    const { pathname } = new URL(connection);
    await server.query('postgres', `ALTER DATABASE ${pathname.slice(1)} SET synchronous_commit = ${set}`);
    expect(await settingsOf(connection, ['SHOW synchronous_commit'])).toEqual([is]);
  });

  test('that runs without fsync is told at the start and by the status, and no longer when it is on', async () => {
    const set = async (value: string) => {
      await server.query('postgres', `ALTER SYSTEM SET fsync = ${value}`);
      await server.query('postgres', 'SELECT pg_reload_conf()');
    };
    const primary = { type: 'database', connection_string: await server.createDatabase() };
    await set('off');
    await using daemon = await TestDaemon.startWith({ primary });
    await using client = createClient({ address: daemon.address });
    const statusOf = async () => (await client.getStatus()).backends[0];
    expect(await until(statusOf, (store) => store?.state === BackendState.FAILED)).toMatchObject({
      message: expect.stringMatching(/fsync off: a power cut may take what was acked. Set fsync to on/) as string,
    });
    await until(
      () => daemon.process.log.join('\n'),
      (log) => /"role":"primary","failure":"The server .*fsync off/.test(log),
    );
    expect(daemon.process.log.join('\n')).not.toContain('s3cret');
    await set('on');
    await until(statusOf, (store) => store?.state === BackendState.READY && store.message === '');
  });
});
