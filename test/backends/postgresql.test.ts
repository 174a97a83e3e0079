import { afterAll, beforeAll } from 'vitest';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { damageDatabaseEntry } from './damage.js';
import { PostgresServer } from './postgres.js';
import { backendSuite, type OpenBackend } from './suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await PostgresServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const open: OpenBackend = async (times = {}) => {
  const connection_string = await server.createDatabase();
  let backend = await openDatabaseBackend({ connection_string, ...times });
  return {
    get backend() {
      return backend;
    },
    sweep: (nowMs) => backend.sweep(nowMs),
    async reopen() {
      await backend[Symbol.asyncDispose]();
      backend = await openDatabaseBackend({ connection_string, ...times });
    },
    damageEntry: (key) => damageDatabaseEntry({ client: 'pg', connection: connection_string }, key),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
  };
};

backendSuite('postgresql', open, { durable: true, damages: true });
