import type { BackendStats } from '../backends/backend.js';
import { toStorageError } from '../errors.js';
import type { Composition } from './compose.js';
import type { FallbackCounts } from './decorators/fallback.js';
import type { RepairCounts } from './repair/repairs.js';
import type { OutboxCounts } from './replication/outbox.js';
import { rolesOf, storeOf, type Role } from './stores.js';
import type { ScrubCounts } from './verification/scrub.js';

/** How one store is. */
export interface StoreStatus extends BackendStats {
  readonly role: Role;
}

/** How the manager is. */
export interface ManagerStatus {
  /** The primary first. */
  readonly stores: readonly StoreStatus[];
  /** Undefined: there is no secondary. */
  readonly replication: OutboxCounts | undefined;
  /** Undefined: there is no secondary. */
  readonly fallback: (FallbackCounts & RepairCounts & { readonly isCircuitOpen: boolean }) | undefined;
  /** Undefined: it is off. */
  readonly scrub: ScrubCounts | undefined;
}

/** Asks all stores how they are; one that can't be asked is told with its failure. */
export async function statusOf({ stores, parts, scrub }: Composition, signal: AbortSignal): Promise<ManagerStatus> {
  return {
    stores: await Promise.all(
      rolesOf(stores).map(async (role): Promise<StoreStatus> => ({
        role,
        ...(await storeOf(stores, role)
          .stats(signal)
          .catch((error: unknown) => unknown(toStorageError(error).message))),
      })),
    ),
    replication: parts?.outbox.counts(),
    fallback: parts && { ...parts.fallback, ...parts.repairs.counts(), isCircuitOpen: parts.breaker.isOpen },
    scrub: scrub?.counts(),
  };
}

function unknown(failure: string): BackendStats {
  const counts = { sizeBytes: 0, resultCount: 0, uploadCount: 0, pendingCount: 0, oldestPendingMs: undefined };
  return { type: 'unknown', failure, ...counts };
}
