import type { StorageBackend } from './backend.js';
import { openLeveldbBackend } from './leveldb/leveldb-backend.js';

/** Which store to open; the names are those of the configuration file. */
export interface BackendConfig {
  readonly type: 'leveldb';
  /** Folder of the store; made when absent. */
  readonly path: string;
}

/** Opens a store: the only place that knows the types. */
export function openBackend(config: BackendConfig, options: { upload_ttl_ms?: number }): Promise<StorageBackend> {
  return openLeveldbBackend({
    path: config.path,
    ...(options.upload_ttl_ms === undefined ? {} : { upload_ttl_ms: options.upload_ttl_ms }),
  });
}
