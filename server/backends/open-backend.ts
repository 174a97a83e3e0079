import { dirname, join } from 'node:path';
import type { StorageBackend } from './backend.js';
import { parseConnectionString } from './database/connection-string.js';
import { MemoryBackend } from './memory/memory-backend.js';
import { Ballast } from './room/ballast.js';
import { diskOf } from './room/disk.js';
import type { RoomWays } from './room/room.js';
import { withRoom } from './room/with-room.js';

const MIB = 1024 * 1024;
const BALLAST_FILE = 'ballast';

/** Which store to open; the names are those of the configuration file. */
export type BackendConfig =
  | {
      readonly type: 'leveldb';
      /** Folder of the store; made when absent. */
      readonly path: string;
      /** What its results and uploads may take, in MiB. Default: what the disk has. */
      readonly quota_mb?: number;
    }
  | {
      readonly type: 'filesystem';
      /** Folder of the store; made when absent. Several processes may share it. */
      readonly base_path: string;
      /** As of leveldb. Processes that share it count what the others have written about once a second. */
      readonly quota_mb?: number;
    }
  | {
      /** Volatile: gone with the process. */
      readonly type: 'memory';
      /** What its rows may take, in MiB. */
      readonly max_memory_mb: number;
    }
  | {
      readonly type: 'database';
      /** `sqlite:///results.db`, `sqlite:////abs/path`, `sqlite://` or `postgresql://user:password@host:port/database`. */
      readonly connection_string: string;
      /** As of leveldb. Daemons that share it count what the others have written about once a second. */
      readonly quota_mb?: number;
    };

/** Opens a store, with limits to its room: the only place that knows the types. */
export async function openBackend(
  config: BackendConfig,
  { upload_ttl_ms }: { upload_ttl_ms?: number },
): Promise<StorageBackend> {
  const options = upload_ttl_ms === undefined ? {} : { upload_ttl_ms };
  if (config.type === 'memory') return new MemoryBackend({ max_memory_mb: config.max_memory_mb, ...options });
  const ballast = ballastOf(config);
  // A store writes when it is opened.
  await ballast?.settle();
  const { store, ...ways } = await openOnDisk(config, options);
  await ballast?.settle();
  const quotaBytes = config.quota_mb === undefined ? undefined : config.quota_mb * MIB;
  return withRoom(store, { ...ways, quotaBytes, ballast });
}

type StoreOnDisk = Exclude<BackendConfig, { type: 'memory' }>;
type OpenedOnDisk = Pick<RoomWays, 'disk' | 'reclaim'> & { readonly store: StorageBackend };

/** Stores bring large libraries with them: who starts the daemon waits only for those of its own store, and has only them in memory. */
async function openOnDisk(config: StoreOnDisk, options: { upload_ttl_ms?: number }): Promise<OpenedOnDisk> {
  switch (config.type) {
    case 'leveldb': {
      const { openLeveldbBackend } = await import('./leveldb/leveldb-backend.js');
      const store = await openLeveldbBackend({ path: config.path, ...options });
      return { store, disk: () => diskOf(config.path), reclaim: () => store.sweep(Date.now(), 0) };
    }
    case 'filesystem': {
      const { openFilesystemBackend } = await import('./filesystem/filesystem-backend.js');
      const store = await openFilesystemBackend({ base_path: config.base_path, ...options });
      return { store, disk: () => diskOf(config.base_path), reclaim: () => store.sweep(Date.now(), 0) };
    }
    case 'database': {
      const { openDatabaseBackend } = await import('./database/database-backend.js');
      const store = await openDatabaseBackend({ connection_string: config.connection_string, ...options });
      return { store, disk: () => store.disk(), reclaim: () => store.reclaim() };
    }
    default:
      return config satisfies never;
  }
}

/** Undefined: the store is in memory, or a server's. */
function ballastOf(config: StoreOnDisk): Ballast | undefined {
  switch (config.type) {
    case 'leveldb':
      return new Ballast(join(config.path, BALLAST_FILE), config.path);
    case 'filesystem':
      return new Ballast(join(config.base_path, BALLAST_FILE), config.base_path);
    case 'database': {
      const address = parseConnectionString(config.connection_string);
      const file = address.dialect === 'sqlite' ? address.file : undefined;
      return file === undefined ? undefined : new Ballast(`${file}-${BALLAST_FILE}`, dirname(file));
    }
    default:
      return config satisfies never;
  }
}
