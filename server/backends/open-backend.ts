import type { StorageBackend } from './backend.js';
import { openDatabaseBackend } from './database/database-backend.js';
import { openFilesystemBackend } from './filesystem/filesystem-backend.js';
import { openLeveldbBackend } from './leveldb/leveldb-backend.js';
import { MemoryBackend } from './memory/memory-backend.js';

/** Which store to open; the names are those of the configuration file. */
export type BackendConfig =
  | {
      readonly type: 'leveldb';
      /** Folder of the store; made when absent. */
      readonly path: string;
    }
  | {
      readonly type: 'filesystem';
      /** Folder of the store; made when absent. Several processes may share it. */
      readonly base_path: string;
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
    };

/** Opens a store: the only place that knows the types. */
export async function openBackend(
  config: BackendConfig,
  { upload_ttl_ms }: { upload_ttl_ms?: number },
): Promise<StorageBackend> {
  const options = upload_ttl_ms === undefined ? {} : { upload_ttl_ms };
  switch (config.type) {
    case 'leveldb':
      return openLeveldbBackend({ path: config.path, ...options });
    case 'filesystem':
      return openFilesystemBackend({ base_path: config.base_path, ...options });
    case 'memory':
      return new MemoryBackend({ max_memory_mb: config.max_memory_mb, ...options });
    case 'database':
      return openDatabaseBackend({ connection_string: config.connection_string, ...options });
    default:
      return config satisfies never;
  }
}
