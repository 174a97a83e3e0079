import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFilesystemBackend } from '../../server/backends/filesystem/filesystem-backend.js';
import { backendSuite, type OpenBackend } from './suite.js';

const open: OpenBackend = async (times = {}) => {
  const folder = await mkdtemp(join(tmpdir(), 'optistore-filesystem-'));
  const base_path = join(folder, 'made', 'results_store');
  let backend = await openFilesystemBackend({ base_path, ...times });
  return {
    get backend() {
      return backend;
    },
    sweep: (nowMs) => backend.sweep(nowMs),
    async reopen() {
      await backend[Symbol.asyncDispose]();
      backend = await openFilesystemBackend({ base_path, ...times });
    },
    async [Symbol.asyncDispose]() {
      await backend[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
};

backendSuite('filesystem', open, { durable: true });
