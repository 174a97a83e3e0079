import { create } from '@bufbuild/protobuf';
import { ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import type { UpdateResultRequest, UpdateResultResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { UpdateResultResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { toResult } from '../manager/result-view.js';
import type { StorageManager } from '../manager/storage-manager.js';
import { editOf } from '../manager/update-result.js';
import { checkedNumber, invalid } from '../manager/validate.js';
import type { CallContext } from './service.js';

/** UpdateResult: see its comment in the contract. */
export async function updateResult(
  manager: StorageManager,
  { result, updateMask, expectedRevision }: UpdateResultRequest,
  { signal }: CallContext,
): Promise<UpdateResultResponse> {
  if (result === undefined) throw invalid('result is absent; its key says what is changed');
  const edit = editOf(updateMask?.paths ?? [], result);
  const expected = expectedRevision === undefined ? undefined : checkedNumber(expectedRevision, 'expected_revision');
  const manifest = await manager.annotate(result.key, expected, edit, signal);
  return create(UpdateResultResponseSchema, { result: toResult(manifest, ResultView.FULL) });
}
