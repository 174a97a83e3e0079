import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StorageBackend } from '../../server/backends/backend.js';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { openLeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import type { Stores } from '../../server/manager/stores.js';

/** LevelDB, SQLite and memory, in a folder that is gone at the end. */
export class ThreeStores implements Stores, AsyncDisposable {
  private constructor(
    private readonly folder: string,
    readonly primary: StorageBackend,
    readonly secondary: StorageBackend,
    readonly pinned: StorageBackend,
  ) {}

  static async open(): Promise<ThreeStores> {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-stores-'));
    return new ThreeStores(
      folder,
      await openLeveldbBackend({ path: join(folder, 'primary') }),
      await openDatabaseBackend({ connection_string: `sqlite:///${join(folder, 'secondary.db')}` }),
      new MemoryBackend({ max_memory_mb: 64 }),
    );
  }

  /** Flips a bit in the rows of the only large result of the primary. */
  damagePrimary(): Promise<void> {
    return flipBit(join(this.folder, 'primary', 'segments'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const store of [this.primary, this.secondary, this.pinned]) await store[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true });
  }
}

/** Flips a bit in the middle of the only file of a folder. */
export async function flipBit(folder: string): Promise<void> {
  const [name = ''] = await readdir(folder);
  await using file = await open(join(folder, name), 'r+');
  const at = Math.floor((await file.stat()).size / 2);
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
  await file.write(Buffer.of((buffer[0] ?? 0) ^ 1), 0, 1, at);
}

/** A store that does some of its calls in another way. */
export function altered(store: StorageBackend, calls: Partial<StorageBackend>): StorageBackend {
  return new Proxy(store, {
    get(target, name) {
      const own: unknown = name in calls ? Reflect.get(calls, name) : Reflect.get(target, name);
      return typeof own === 'function' ? (own as () => unknown).bind(target) : own;
    },
  });
}
