import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ReplicationMode } from '../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { openLeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { CircuitBreaker } from '../../server/manager/circuit-breaker.js';
import { ResultCache } from '../../server/manager/cache/result-cache.js';
import { composed, type Composition } from '../../server/manager/compose.js';
import { fallback } from '../../server/manager/decorators/fallback.js';
import { replicated } from '../../server/manager/decorators/replicated.js';
import { Origins } from '../../server/manager/origins.js';
import { Repairs } from '../../server/manager/repair/repairs.js';
import { Mirroring } from '../../server/manager/replication/mirroring.js';
import { Outbox } from '../../server/manager/replication/outbox.js';
import { inRole } from '../../server/manager/role-store.js';
import { backendSuite, type OpenBackend } from '../backends/suite.js';

type Times = Parameters<OpenBackend>[0];

/** A store that can be swept. */
interface Swept extends StorageBackend {
  sweep(nowMs?: number): Promise<void>;
}

/** Opens two durable stores as one; `put` puts them together. */
function twoStores(put: (primary: Swept, secondary: Swept) => StorageBackend): OpenBackend {
  return async (times: Times = {}) => {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-composition-'));
    const openBoth = async (): Promise<[Swept, Swept]> => [
      await openLeveldbBackend({ path: join(folder, 'primary'), ...times }),
      await openDatabaseBackend({ connection_string: `sqlite:///${join(folder, 'secondary.db')}`, ...times }),
    ];
    let [primary, secondary] = await openBoth();
    let backend = put(primary, secondary);
    return {
      get backend() {
        return backend;
      },
      async sweep(nowMs) {
        await primary.sweep(nowMs);
        await secondary.sweep(nowMs);
      },
      async reopen() {
        await backend[Symbol.asyncDispose]();
        [primary, secondary] = await openBoth();
        backend = put(primary, secondary);
      },
      async [Symbol.asyncDispose]() {
        await backend[Symbol.asyncDispose]();
        await rm(folder, { recursive: true });
      },
    };
  };
}

const asPrimary = (primary: StorageBackend) => inRole('primary', primary, new CircuitBreaker('primary'));
const asSecondary = (secondary: StorageBackend) => inRole('secondary', secondary, new CircuitBreaker('secondary'));

backendSuite(
  'replicated(leveldb, sqlite)',
  twoStores((primary, secondary) => {
    const outbox = new Outbox(primary, secondary);
    const store = replicated(asPrimary(primary), { outbox, mirroring: new Mirroring(), mode: ReplicationMode.NONE });
    return {
      ...store,
      async [Symbol.asyncDispose]() {
        await outbox[Symbol.asyncDispose]();
        await store[Symbol.asyncDispose]();
        await secondary[Symbol.asyncDispose]();
      },
    };
  }),
  { durable: true, replicates: true },
);

backendSuite(
  'fallback(leveldb, sqlite)',
  twoStores((primary, secondary) => {
    const repairs = new Repairs(primary, secondary);
    const counts = { fallbackCount: 0, continuedCount: 0 };
    return fallback(asPrimary(primary), asSecondary(secondary), { origins: new Origins(), repairs, counts });
  }),
  { durable: true },
);

/** All of it, as the daemon has it; the outbox is at rest, so that the suite sees what is pending. */
function whole(primary: Swept, secondary: Swept): StorageBackend {
  const pinned = new MemoryBackend({ max_memory_mb: 16 });
  const cache = new ResultCache(16 * 1024 * 1024);
  return closing(composed({ primary, secondary, pinned }, cache, ReplicationMode.NONE));
}

function closing({ store, parts }: Composition): StorageBackend {
  return {
    ...store,
    async [Symbol.asyncDispose]() {
      await parts?.outbox[Symbol.asyncDispose]();
      await parts?.repairs[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

backendSuite('pinned(cached(fallback(replicated(leveldb), sqlite)))', twoStores(whole), {
  durable: true,
  replicates: true,
});
