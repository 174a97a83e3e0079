import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { inFolder } from './in-folder.js';
import { backendSuite, type OpenBackend } from './suite.js';

const open = inFolder((path, times) => openDatabaseBackend({ connection_string: `sqlite:///${path}.db`, ...times }));

backendSuite('sqlite', open, { durable: true });

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
