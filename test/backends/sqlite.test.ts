import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { damageDatabaseEntry } from './damage.js';
import { inFolder } from './in-folder.js';
import { backendSuite, type OpenBackend } from './suite.js';

const open = inFolder(
  (path, times) => openDatabaseBackend({ connection_string: `sqlite:///${path}.db`, ...times }),
  (path, key) =>
    damageDatabaseEntry({ client: 'sqlite3', connection: { filename: `${path}.db` }, useNullAsDefault: true }, key),
);

backendSuite('sqlite', open, { durable: true, damages: true });

const openInMemory: OpenBackend = async (times = {}) => {
  const backend = await openDatabaseBackend({ connection_string: 'sqlite://', ...times });
  return {
    backend,
    sweep: (nowMs) => backend.sweep(nowMs),
    reopen: () => Promise.reject(new Error('memory does not outlive its process')),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
  };
};

backendSuite('sqlite in memory', openInMemory, { durable: false });
