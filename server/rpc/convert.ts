import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { CacheStatus, Upload as WireUpload } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { CacheStatusSchema, UploadSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { CacheStats } from '../manager/cache/result-cache.js';
import type { UploadState } from '../backends/backend.js';

/** What the wire shows of an upload. */
export function toUpload(state: UploadState): WireUpload {
  return create(UploadSchema, {
    uploadId: state.uploadId,
    key: state.key,
    durableRowCount: BigInt(state.durableRowCount),
    createTime: timestampFromMs(state.createTimeMs),
    updateTime: timestampFromMs(state.updateTimeMs),
    hasStream: state.hasStream,
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
