import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StorageBackend } from '../../server/backends/backend.js';
import type { BackendTimes, OpenBackend } from './suite.js';

/** A store that a test sweeps when it wants. */
type SweptBackend = StorageBackend & { sweep(nowMs?: number): Promise<void> };

/**
 * Opens stores for the suite, each in a folder of its own, which goes with it. `openAt` is told a path below it that is not there yet;
 * `damageAt` damages what a store has of a key, while it is closed.
 */
export function inFolder(
  openAt: (path: string, times: BackendTimes) => Promise<SweptBackend>,
  damageAt: (path: string, key: string) => Promise<void>,
): OpenBackend {
  return async (times = {}) => {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-suite-'));
    const path = join(folder, 'made', 'store');
    let backend = await openAt(path, times);
    return {
      get backend() {
        return backend;
      },
      sweep: (nowMs) => backend.sweep(nowMs),
      async reopen() {
        await backend[Symbol.asyncDispose]();
        backend = await openAt(path, times);
      },
      async damageEntry(key) {
        await backend[Symbol.asyncDispose]();
        await damageAt(path, key);
        backend = await openAt(path, times);
      },
      async [Symbol.asyncDispose]() {
        await backend[Symbol.asyncDispose]();
        await rm(folder, { recursive: true });
      },
    };
  };
}
