import { openBackend, type BackendConfig } from '../backends/open-backend.js';
import type { StorageBackend } from '../backends/backend.js';
import { ReplicationMode } from '../../proto/gen/optistore/v1/result_pb.js';
import { cached } from './cache/cached.js';
import { ResultCache } from './cache/result-cache.js';
import { CircuitBreaker } from './circuit-breaker.js';
import { closeAll } from './close-all.js';
import { fallback, type FallbackCounts } from './decorators/fallback.js';
import { pinned, type PinnedStore } from './decorators/pinned.js';
import { replicated } from './decorators/replicated.js';
import { Origins } from './origins.js';
import { Repairs } from './repair/repairs.js';
import { Mirroring } from './replication/mirroring.js';
import { Outbox } from './replication/outbox.js';
import { inRole } from './role-store.js';
import type { Stores } from './stores.js';
import type { CheckedCopy } from './verification/checked-copy.js';
import { Scrub } from './verification/scrub.js';

/** How a manager is made; the names are those of the configuration file. */
export interface ManagerConfig {
  /** The store that holds every result. Default: LevelDB under ./optistore-data. */
  readonly primary?: BackendConfig;
  /** The backup, which stands in where the primary fails. Default: none. */
  readonly secondary?: BackendConfig | undefined;
  /** Whether saves that don't say it go to the secondary as well, and whether their commit waits for it. Default: `none`. */
  readonly replication?: 'none' | 'async' | 'sync';
  /** Whether recently used results are kept in memory. Default: true. */
  readonly use_cache?: boolean;
  /** What the cache may hold, in MiB. Default: 100. */
  readonly cache_size_mb?: number;
  /** What results that are in the cache alone may take, in MiB. Default: 100. */
  readonly cache_pinned_mb?: number;
  /** An upload without a stream expires this long after its last durable row. Default: 30 days. */
  readonly upload_ttl_ms?: number;
  /** Everything that is stored is verified by itself again so long after it was last. Default: never. */
  readonly scrub_interval_ms?: number | undefined;
  /** How much that may read, in MiB a second. Default: 20. */
  readonly scrub_mb_per_second?: number;
  /** Is told of each copy that the scrub finds corrupt or missing, repaired or not. */
  readonly onFault?: ((fault: CheckedCopy) => void) | undefined;
}

/** What stands between a primary and its secondary. */
export interface SecondaryParts {
  readonly outbox: Outbox;
  readonly mirroring: Mirroring;
  readonly repairs: Repairs;
  readonly fallback: FallbackCounts;
  readonly breaker: CircuitBreaker;
}

/** The stores and what was made of them. */
export interface Composition {
  readonly stores: Stores;
  /** The same, which fail at once while they are taken for dead. */
  readonly guarded: Stores;
  /** What callers use: all of them as one. */
  readonly store: PinnedStore;
  readonly origins: Origins;
  /** Undefined: none. */
  readonly cache: ResultCache | undefined;
  /** Undefined: there is no secondary. */
  readonly parts: SecondaryParts | undefined;
  /** Of saves that don't say it. */
  readonly replicationMode: ReplicationMode;
  /** Undefined: it is off. */
  readonly scrub?: Scrub | undefined;
}

const MODES = { none: ReplicationMode.NONE, async: ReplicationMode.ASYNC, sync: ReplicationMode.SYNC };
const MIB = 1024 * 1024;

/** Opens the stores and puts them together: the only place that knows all roles. BACKEND_LOCKED, BACKEND_UNAVAILABLE. */
export async function compose(config: ManagerConfig): Promise<Composition> {
  const stores = await openStores(config);
  const { use_cache = true, cache_size_mb = 100, replication = 'none' } = config;
  const cache = use_cache ? new ResultCache(cache_size_mb * MIB) : undefined;
  return { ...composed(stores, cache, MODES[replication]), scrub: scrubOf(stores, config) };
}

function scrubOf(stores: Stores, config: ManagerConfig): Scrub | undefined {
  const { scrub_interval_ms: intervalMs, scrub_mb_per_second = 20, onFault } = config;
  if (intervalMs === undefined) return undefined;
  return new Scrub(stores, { intervalMs, bytesPerSecond: scrub_mb_per_second * MIB, onFault });
}

/** Puts stores together. */
export function composed(
  stores: Stores,
  cache: ResultCache | undefined,
  replicationMode: ReplicationMode,
): Composition {
  const origins = new Origins();
  const breaker = new CircuitBreaker('primary');
  const primary = inRole('primary', stores.primary, breaker);
  const parts = stores.secondary && secondaryParts(stores.primary, stores.secondary, breaker);
  const secondary = stores.secondary && inRole('secondary', stores.secondary, new CircuitBreaker('secondary'));
  const safe =
    secondary === undefined || parts === undefined
      ? primary
      : fallback(replicated(primary, { ...parts, mode: replicationMode }), secondary, {
          ...{ ...parts, origins, counts: parts.fallback },
        });
  const fast = cache === undefined ? safe : cached(safe, cache);
  const store = pinned(fast, stores.pinned, origins);
  const guarded = { primary, secondary, pinned: stores.pinned };
  return { stores, guarded, store, origins, cache, parts, replicationMode };
}

function secondaryParts(primary: StorageBackend, secondary: StorageBackend, breaker: CircuitBreaker): SecondaryParts {
  return {
    outbox: new Outbox(primary, secondary),
    mirroring: new Mirroring(),
    repairs: new Repairs(primary, secondary),
    fallback: { fallbackCount: 0, continuedCount: 0 },
    breaker,
  };
}

async function openStores(config: ManagerConfig): Promise<Stores> {
  const { primary = { type: 'leveldb', path: './optistore-data' }, secondary, cache_pinned_mb = 100 } = config;
  const opened: StorageBackend[] = [];
  const open = async (store: BackendConfig) => {
    const backend = await openBackend(store, config);
    opened.push(backend);
    return backend;
  };
  try {
    return {
      primary: await open(primary),
      secondary: secondary && (await open(secondary)),
      pinned: await open({ type: 'memory', max_memory_mb: cache_pinned_mb }),
    };
  } catch (error) {
    // Why they can't be opened says more.
    await closeAll(opened).catch(() => undefined);
    throw error;
  }
}
