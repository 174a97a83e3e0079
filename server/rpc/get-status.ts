import { create } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { Backend } from '../../proto/gen/optistore/v1/result_pb.js';
import type { GetStatusResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { BackendState, GetStatusResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { StorageManager } from '../manager/storage-manager.js';
import { toCacheStatus } from './convert.js';
import type { CallContext } from './service.js';

/** GetStatus: see its comment in the contract. */
export async function getStatus(
  manager: StorageManager,
  options: { readonly version: string; readonly startTime: Date },
  streamCount: number,
  { signal }: CallContext,
): Promise<GetStatusResponse> {
  const stats = await manager.stats(signal);
  const cache = manager.cacheStats();
  return create(GetStatusResponseSchema, {
    version: options.version,
    startTime: timestampFromDate(options.startTime),
    backends: [
      {
        role: Backend.PRIMARY,
        type: stats.type,
        state: stats.failure === undefined ? BackendState.READY : BackendState.FAILED,
        message: stats.failure ?? '',
        sizeBytes: BigInt(stats.sizeBytes),
        resultCount: BigInt(stats.resultCount),
      },
    ],
    ...(cache && { cache: toCacheStatus(cache) }),
    uploadCount: BigInt(stats.uploadCount),
    streamCount: BigInt(streamCount),
  });
}
