import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Backend } from '../../proto/gen/optistore/v1/result_pb.js';
import type { CacheStatus, Upload as WireUpload } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { CacheStatusSchema, UploadSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { CacheStats } from '../manager/cache/result-cache.js';
import type { UploadState } from '../backends/backend.js';
import type { Role } from '../manager/stores.js';
import { invalid } from '../manager/validate.js';

const BACKEND_OF = { primary: Backend.PRIMARY, secondary: Backend.SECONDARY, cache: Backend.CACHE } as const;

/** What the wire calls a role. */
export function toBackend(role: Role): Backend {
  return BACKEND_OF[role];
}

/** The role that a field names; undefined where it names none. REQUEST_INVALID. */
export function roleOf(backend: Backend, field: string): Role | undefined {
  switch (backend) {
    case Backend.UNSPECIFIED:
      return undefined;
    case Backend.PRIMARY:
      return 'primary';
    case Backend.SECONDARY:
      return 'secondary';
    case Backend.CACHE:
      return 'cache';
    default:
      throw invalid(
        `${field} is ${String(backend satisfies never)}, which is not known; PRIMARY, SECONDARY or CACHE is possible`,
      );
  }
}

/** What the wire shows of an upload. */
export function toUpload(state: UploadState): WireUpload {
  return create(UploadSchema, {
    uploadId: state.uploadId,
    key: state.key,
    durableRowCount: BigInt(state.durableRowCount),
    createTime: timestampFromMs(state.createTimeMs),
    updateTime: timestampFromMs(state.updateTimeMs),
    ...{ hasStream: state.hasStream, createdBy: state.createdBy },
    ...(state.expireTimeMs === undefined ? {} : { expireTime: timestampFromMs(state.expireTimeMs) }),
  });
}

/** What the wire shows of the cache. */
export function toCacheStatus(stats: CacheStats): CacheStatus {
  const { hitCount, missCount, evictionCount, tooLargeCount, errorCount, sizeBytes, limitBytes } = stats;
  return create(CacheStatusSchema, {
    hitCount: BigInt(hitCount),
    missCount: BigInt(missCount),
    evictionCount: BigInt(evictionCount),
    tooLargeCount: BigInt(tooLargeCount),
    errorCount: BigInt(errorCount),
    sizeBytes: BigInt(sizeBytes),
    limitBytes: BigInt(limitBytes),
  });
}
