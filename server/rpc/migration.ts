import { create } from '@bufbuild/protobuf';
import type { Backend } from '../../proto/gen/optistore/v1/result_pb.js';
import type {
  MigrateResultRequest,
  MigrateResultResponse,
  MigrateStoreResponse,
  ReplicateResultsRequest,
  ReplicateResultsResponse,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import {
  MigrateResultResponseSchema,
  MigrateStoreResponseSchema,
  ReplicateResultsResponseSchema,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { UpToDateProgress } from '../manager/migration/bring-up-to-date.js';
import type { MigrationProgress, MigrationSpec } from '../manager/migration/migrate-result.js';
import type { StoreMigrationProgress } from '../manager/migration/migrate-store.js';
import type { StorageManager } from '../manager/storage-manager.js';
import type { Role } from '../manager/stores.js';
import { invalid } from '../manager/validate.js';
import { roleOf } from './convert.js';
import { shuttingDown } from './save-stream.js';
import type { CallContext } from './service.js';

/** MigrateResult: see its comment in the contract. */
export async function* migrateStream(
  manager: StorageManager,
  request: MigrateResultRequest,
  { signal, draining }: CallContext,
): AsyncGenerator<MigrateResultResponse> {
  for await (const progress of manager.migrate(specOf(request), signal)) {
    if (draining.aborted && progress.copy === undefined) throw shuttingDown();
    yield migrationMessage(progress);
  }
}

/** ReplicateResults: see its comment in the contract. */
export async function* replicateStream(
  manager: StorageManager,
  { prefix }: ReplicateResultsRequest,
  { signal, draining }: CallContext,
): AsyncGenerator<ReplicateResultsResponse> {
  for await (const progress of manager.bringUpToDate(prefix, signal)) {
    if (draining.aborted) throw shuttingDown();
    yield create(ReplicateResultsResponseSchema, upToDateFields(progress));
  }
}

/** MigrateStore: see its comment in the contract. */
export async function* migrateStoreStream(
  manager: StorageManager,
  { signal, draining }: CallContext,
): AsyncGenerator<MigrateStoreResponse> {
  for await (const progress of manager.migrateStore(signal)) {
    if (draining.aborted && progress.end === undefined) throw shuttingDown();
    yield migrateStoreMessage(progress);
  }
}

function specOf({ key, prefix, all, fromBackend, toBackend, keepSource }: MigrateResultRequest): MigrationSpec {
  if ([key !== '', prefix !== '', all].filter(Boolean).length !== 1)
    throw invalid('exactly one of key, prefix and all says what is migrated');
  return {
    what: key === '' ? { prefix } : { key },
    from: roleIn('from_backend', fromBackend),
    to: roleIn('to_backend', toBackend),
    keepSource,
  };
}

function roleIn(field: 'from_backend' | 'to_backend', backend: Backend): Role {
  const role = roleOf(backend, field);
  if (role === undefined) throw invalid(`${field} is not said; PRIMARY, SECONDARY or CACHE is possible`);
  return role;
}

function migrationMessage(progress: MigrationProgress): MigrateResultResponse {
  const { key, copiedRowCount, verifiedRowCount, rowCount, doneCount, totalCount, copiedBytes } = progress;
  const { copy, failure } = progress;
  return create(MigrateResultResponseSchema, {
    key,
    copiedRowCount: BigInt(copiedRowCount),
    verifiedRowCount: BigInt(verifiedRowCount),
    rowCount: BigInt(rowCount),
    done: copy !== undefined,
    doneCount: BigInt(doneCount),
    totalCount: BigInt(totalCount),
    copiedBytes: BigInt(copiedBytes),
    failure: failure?.message ?? '',
    revision: copy?.revision ?? 0n,
  });
}

function upToDateFields({ key, doneCount, totalCount, copiedCount, failure }: UpToDateProgress) {
  return {
    key,
    doneCount: BigInt(doneCount),
    totalCount: BigInt(totalCount),
    copiedCount: BigInt(copiedCount),
    failure: failure?.message ?? '',
  };
}

function migrateStoreMessage(progress: StoreMigrationProgress): MigrateStoreResponse {
  const { end } = progress;
  return create(MigrateStoreResponseSchema, {
    ...upToDateFields(progress),
    done: end !== undefined,
    openUploadIds: [...(end?.openUploadIds ?? [])],
    complete: end?.isComplete ?? false,
    failedCount: BigInt(end?.failedCount ?? 0),
    pendingCount: BigInt(end?.pendingCount ?? 0),
  });
}
