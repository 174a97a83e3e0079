import { stat } from 'node:fs/promises';
import { afterAll, beforeAll, test } from 'vitest';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { StorageError } from '../../server/errors.js';
import { flipBit, zeroBytes } from '../backends/damage.js';
import { PostgresServer } from '../backends/postgres.js';
import { campaign } from './campaign.js';
import { fill, type KnownStore } from './damaged-world.js';
import { checkStore } from './damaged-store.js';

/** Tables and indexes of the store, and the files beside them that have what is large. */
const FILES = `
  SELECT pg_relation_filepath(oid) AS path FROM pg_class
  WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace
  UNION ALL
  SELECT pg_relation_filepath(reltoastrelid) AS path FROM pg_class
  WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltoastrelid <> 0
  ORDER BY path`;
const PAGE_BYTES = 8192;

let server: PostgresServer;
let filled = '';
let known: KnownStore;
beforeAll(async () => {
  server = await PostgresServer.start();
  filled = await server.createDatabase();
  const store = await fill(() => openDatabaseBackend({ connection_string: filled }));
  known = store.known;
  await store.backend[Symbol.asyncDispose]();
});
afterAll(() => server[Symbol.asyncDispose]());

test('a page of a PostgreSQL that a disk has damaged gives what is right, or says that it is damaged', async () => {
  await campaign('damaged pages: postgresql', { short: 6, long: 300 }, async (roll, number) => {
    const name = `pages_${number}`;
    await server.query('postgres', `CREATE DATABASE ${name} TEMPLATE ${new URL(filled).pathname.slice(1)}`);
    const files = (await server.query(name, FILES)).map(({ path }) => server.fileOf(String(path)));
    // Else the server writes the page again from its log when it starts.
    await server.query(name, 'CHECKPOINT');
    await server.down();
    const sizes = await Promise.all(files.map(async (file) => ({ file, pages: (await stat(file)).size / PAGE_BYTES })));
    const some = sizes.filter(({ pages }) => pages > 0);
    const { file, pages } = some[Math.floor(roll() * some.length)] ?? { file: '', pages: 0 };
    const at = Math.floor(roll() * pages) * PAGE_BYTES + Math.floor(roll() * (PAGE_BYTES - 300));
    if (roll() < 0.5) await flipBit(file, at, Math.floor(roll() * 8));
    else await zeroBytes(file, at, 1 + Math.floor(roll() * 300));
    await server.up();
    try {
      await using store = await openDatabaseBackend({ connection_string: server.url(name) });
      await store.sweep().catch(unlessDamaged);
      const strict = { isReported: false, mayLackCommits: false, mayLackRows: false };
      const { right, corrupt } = await checkStore(store, known, strict);
      return right.length + corrupt.length;
    } catch (error) {
      // A table that nothing can be found in is told as a whole.
      if (isToldAsWhole(error)) return 1;
      throw new Error(`${file} at ${at}: ${String(error)}`, { cause: error });
    } finally {
      await server.query('postgres', `DROP DATABASE ${name} WITH (FORCE)`);
    }
  });
}, 1_200_000);

function isToldAsWhole(error: unknown): boolean {
  return error instanceof StorageError && error.reason === 'RESULT_CORRUPT' && error.message.includes('Restore it as');
}

function unlessDamaged(error: unknown): void {
  if (!isToldAsWhole(error)) throw error;
}
