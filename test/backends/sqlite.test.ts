import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { backendSuite, type OpenBackend } from './suite.js';

const open: OpenBackend = async (times = {}) => {
  const folder = await mkdtemp(join(tmpdir(), 'optistore-sqlite-'));
  const connection_string = `sqlite:///${join(folder, 'made', 'results.db')}`;
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
    async [Symbol.asyncDispose]() {
      await backend[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
};

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
