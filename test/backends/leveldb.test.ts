import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { backendSuite, type OpenBackend } from './suite.js';

const open: OpenBackend = async (times = {}) => {
  const path = await mkdtemp(join(tmpdir(), 'optistore-leveldb-'));
  let backend = await openLeveldbBackend({ path, ...times });
  return {
    get backend() {
      return backend;
    },
    sweep: (nowMs) => backend.sweep(nowMs),
    async reopen() {
      await backend[Symbol.asyncDispose]();
      backend = await openLeveldbBackend({ path, ...times });
    },
    async [Symbol.asyncDispose]() {
      await backend[Symbol.asyncDispose]();
      await rm(path, { recursive: true });
    },
  };
};

backendSuite('leveldb', open, { durable: true });
