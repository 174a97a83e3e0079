import { create } from '@bufbuild/protobuf';
import { ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import type { CopyResultRequest, CopyResultResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { CopyResultResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { copyResult } from '../manager/copy-result.js';
import { toResult } from '../manager/result-view.js';
import type { StorageManager } from '../manager/storage-manager.js';
import { checkedNumber } from '../manager/validate.js';
import { shuttingDown } from './save-stream.js';
import type { CallContext } from './service.js';

/** CopyResult: see its comment in the contract. */
export async function* copyStream(
  manager: StorageManager,
  request: CopyResultRequest,
  context: CallContext,
): AsyncGenerator<CopyResultResponse> {
  const { key, toKey, revision, expectedRevision, removeSource } = request;
  const spec = {
    ...{ key, toKey, removeSource },
    // One beyond 2^53 is not exact as a number, but beyond any revision that there is.
    revision: revision === undefined ? undefined : Number(revision),
    expectedRevision: checkedNumber(expectedRevision ?? 0n, 'expected_revision'),
    createdBy: context.caller?.name ?? '',
  };
  for await (const { copiedRowCount, rowCount, copy } of copyResult(manager, spec, context.signal)) {
    if (copy === undefined && context.draining.aborted) throw shuttingDown();
    yield create(CopyResultResponseSchema, {
      copiedRowCount: BigInt(copiedRowCount),
      rowCount: BigInt(rowCount),
      ...(copy && { result: toResult(copy, ResultView.FULL) }),
    });
  }
}
