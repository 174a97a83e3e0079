import type { StorageBackend } from '../backends/backend.js';
import { StorageError } from '../errors.js';

/** What a store is to the manager. */
export type Role = 'primary' | 'secondary' | 'cache';

/** The stores behind the manager, each by itself, as the configuration names them. */
export interface Stores {
  /** Holds every result. */
  readonly primary: StorageBackend;
  /** The backup; undefined where none is configured. */
  readonly secondary: StorageBackend | undefined;
  /** Results that were saved or migrated to the cache alone: pinned there until they are migrated or deleted. Volatile. */
  readonly pinned: StorageBackend;
}

/** Which of the stores has a role. NO_SECONDARY. */
export function storeOf(stores: Stores, role: Role): StorageBackend {
  switch (role) {
    case 'primary':
      return stores.primary;
    case 'secondary':
      return stores.secondary ?? noSecondary();
    case 'cache':
      return stores.pinned;
    default:
      return role satisfies never;
  }
}

/** The roles that have a store, the primary first. */
export function rolesOf(stores: Stores): readonly Role[] {
  return stores.secondary === undefined ? ['primary', 'cache'] : ['primary', 'secondary', 'cache'];
}

/** The secondary where one is needed. NO_SECONDARY. */
export function secondaryOf(stores: Stores): StorageBackend {
  return storeOf(stores, 'secondary');
}

function noSecondary(): never {
  throw new StorageError(
    'NO_SECONDARY',
    'There is no secondary store. Configure one (`secondary` in optistore.yaml, see docs/configuration.md) and restart the daemon.',
  );
}
