import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { knex, type Knex } from 'knex';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { fill } from '../faults/damaged-world.js';
import { checkStore } from '../faults/damaged-store.js';
import { PostgresServer } from './postgres.js';

let folder = '';
let server: PostgresServer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'optistore-upgrade-'));
  server = await PostgresServer.start();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const KINDS: Readonly<Record<string, () => Promise<{ connection_string: string; config: Knex.Config }>>> = {
  sqlite: () => {
    const filename = join(folder, 'results.db');
    const config = { client: 'sqlite3', connection: { filename }, useNullAsDefault: true };
    return Promise.resolve({ connection_string: `sqlite:///${filename}`, config });
  },
  postgresql: async () => {
    const connection_string = await server.createDatabase();
    return { connection_string, config: { client: 'pg', connection: connection_string } };
  },
};

/** Makes the tables those of the version before there were checksums. */
async function withoutChecksums(config: Knex.Config): Promise<void> {
  const database = knex(config);
  try {
    for (const table of ['results', 'revisions', 'uploads', 'store'])
      await database.raw(`ALTER TABLE ${table} DROP COLUMN crc`);
    await database.raw('ALTER TABLE segments DROP COLUMN removed_id');
    await database('optistore_migrations').where({ name: '0003_checksums' }).delete();
  } finally {
    await database.destroy();
  }
}

test.each(Object.entries(KINDS))('%s: what was saved before rows had checksums is as it was', async (_, make) => {
  const { connection_string, config } = await make();
  const { backend, known } = await fill(() => openDatabaseBackend({ connection_string }));
  await backend[Symbol.asyncDispose]();
  await withoutChecksums(config);
  await using store = await openDatabaseBackend({ connection_string });
  const strict = { isReported: false, mayLackCommits: false, mayLackRows: false };
  const { corrupt, lacking } = await checkStore(store, known, strict);
  expect([...corrupt, ...lacking]).toEqual([]);
});
