import type { StorageBackend } from '../backends/backend.js';
import type { Role } from './served-rows.js';

/** The stores behind the manager, each by itself, as the configuration names them. */
export interface Stores {
  /** Holds every result. */
  readonly primary: StorageBackend;
  /** The backup; undefined where none is configured. */
  readonly secondary: StorageBackend | undefined;
  /** Results that were saved or moved to the cache alone: pinned there until they are moved or deleted. Volatile. */
  readonly pinned: StorageBackend;
}

/** Which of the stores has a role; undefined where there is none. */
export function storeOf(stores: Stores, role: Role): StorageBackend | undefined {
  return role === 'primary' ? stores.primary : role === 'secondary' ? stores.secondary : stores.pinned;
}
