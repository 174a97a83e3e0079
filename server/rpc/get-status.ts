import { create } from '@bufbuild/protobuf';
import { timestampFromDate, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type {
  BackendStatus,
  FallbackStatus,
  GetStatusResponse,
  ReplicationStatus,
  ScrubStatus,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import {
  BackendState,
  BackendStatusSchema,
  FallbackStatusSchema,
  GetStatusResponseSchema,
  ReplicationStatusSchema,
  ScrubStatusSchema,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { ManagerStatus, StoreStatus } from '../manager/status.js';
import type { StorageManager } from '../manager/storage-manager.js';
import { toBackend, toCacheStatus } from './convert.js';
import type { CallContext } from './service.js';

/** GetStatus: see its comment in the contract. */
export async function getStatus(
  manager: StorageManager,
  options: { readonly version: string; readonly startTime: Date },
  streamCount: number,
  { signal }: CallContext,
): Promise<GetStatusResponse> {
  const status = await manager.status(signal);
  const cache = manager.cacheStats();
  return create(GetStatusResponseSchema, {
    version: options.version,
    startTime: timestampFromDate(options.startTime),
    time: timestampFromMs(Date.now()),
    backends: status.stores.map(toBackendStatus),
    ...(cache && { cache: toCacheStatus(cache) }),
    uploadCount: BigInt(status.stores.reduce((count, store) => count + store.uploadCount, 0)),
    streamCount: BigInt(streamCount),
    ...(status.replication && { replication: toReplicationStatus(status, status.replication) }),
    ...(status.fallback && { fallback: toFallbackStatus(status.fallback) }),
    ...(status.scrub && { scrub: toScrubStatus(status.scrub) }),
  });
}

function toBackendStatus({ role, type, failure, sizeBytes, resultCount }: StoreStatus): BackendStatus {
  return create(BackendStatusSchema, {
    ...{ role: toBackend(role), type, message: failure ?? '' },
    state: failure === undefined ? BackendState.READY : BackendState.FAILED,
    ...{ sizeBytes: BigInt(sizeBytes), resultCount: BigInt(resultCount) },
  });
}

function toReplicationStatus(
  { stores }: ManagerStatus,
  { copiedCount, failureCount, lastFailure }: NonNullable<ManagerStatus['replication']>,
): ReplicationStatus {
  const oldestPendingMs = stores[0]?.oldestPendingMs;
  return create(ReplicationStatusSchema, {
    pendingCount: BigInt(stores[0]?.pendingCount ?? 0),
    ...(oldestPendingMs !== undefined && { oldestPendingTime: timestampFromMs(oldestPendingMs) }),
    ...{ copiedCount: BigInt(copiedCount), failureCount: BigInt(failureCount), lastFailure },
  });
}

function toFallbackStatus(counts: NonNullable<ManagerStatus['fallback']>): FallbackStatus {
  return create(FallbackStatusSchema, {
    ...{ fallbackCount: BigInt(counts.fallbackCount), continuedCount: BigInt(counts.continuedCount) },
    ...{ repairedCount: BigInt(counts.repairedCount), repairFailureCount: BigInt(counts.failureCount) },
    circuitOpen: counts.isCircuitOpen,
  });
}

function toScrubStatus(counts: NonNullable<ManagerStatus['scrub']>): ScrubStatus {
  const { lastPass, checkedCount, faultCount, repairedCount, failure = '' } = counts;
  return create(ScrubStatusSchema, {
    ...{ checkedCount: BigInt(checkedCount), corruptCount: BigInt(faultCount), repairedCount: BigInt(repairedCount) },
    ...(lastPass && {
      lastStartTime: timestampFromMs(lastPass.startMs),
      lastEndTime: timestampFromMs(lastPass.endMs),
    }),
    lastFailure: failure,
  });
}
