import { create } from '@bufbuild/protobuf';
import { Backend } from '../../proto/gen/optistore/v1/result_pb.js';
import type { VerifyResultsRequest, VerifyResultsResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { VerifyResultsResponseSchema, VerifyState } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { StorageManager } from '../manager/storage-manager.js';
import { shuttingDown } from './save-stream.js';
import type { CallContext } from './service.js';

/** VerifyResults: see its comment in the contract. */
export async function* verifyStream(
  manager: StorageManager,
  { prefix }: VerifyResultsRequest,
  { signal, draining }: CallContext,
): AsyncGenerator<VerifyResultsResponse> {
  const [primary] = (await manager.status(signal)).stores;
  const resultCount = primary?.resultCount ?? 0;
  let checkedCount = 0n;
  let checkedBytes = 0n;
  for await (const { manifest, fault, byteLength } of manager.verify(prefix, signal)) {
    if (draining.aborted) throw shuttingDown();
    checkedCount++;
    checkedBytes += BigInt(byteLength);
    yield create(VerifyResultsResponseSchema, {
      ...{ key: manifest.key, revision: manifest.revision, backend: Backend.PRIMARY },
      state: fault === undefined ? VerifyState.OK : VerifyState.CORRUPT,
      message: fault ?? '',
      ...{ checkedCount, checkedBytes },
      // A prefix has some of them; how many, only the list tells.
      totalCount: prefix === '' ? BigInt(resultCount) : 0n,
    });
  }
}
