import { afterAll, beforeAll, describe } from 'vitest';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { PostgresServer } from './postgres.js';
import { sharedPromises, type OpenTwo } from './suite-shared.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await PostgresServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

/** Two daemons' stores on one empty database, which both make at once. */
const two: OpenTwo = async (times = {}) => {
  const connection_string = await server.createDatabase();
  const open = () => openDatabaseBackend({ connection_string, ...times });
  const [a, b] = await Promise.all([open(), open()]);
  const close = () => Promise.all([a[Symbol.asyncDispose](), b[Symbol.asyncDispose]()]);
  return { a, b, [Symbol.asyncDispose]: async () => void (await close()) };
};

describe('postgresql: shared', () => sharedPromises(two));
