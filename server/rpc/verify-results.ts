import { create } from '@bufbuild/protobuf';
import type { Backend } from '../../proto/gen/optistore/v1/result_pb.js';
import type { VerifyResultsRequest, VerifyResultsResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { VerifyResultsResponseSchema, VerifyState } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { StorageManager } from '../manager/storage-manager.js';
import type { CopyRole, CopyState } from '../manager/verification/checked-copy.js';
import { invalid } from '../manager/validate.js';
import { roleOf, toBackend } from './convert.js';
import { shuttingDown } from './save-stream.js';
import type { CallContext } from './service.js';

const STATE: Readonly<Record<CopyState, VerifyState>> = {
  ok: VerifyState.OK,
  corrupt: VerifyState.CORRUPT,
  missing: VerifyState.MISSING,
  repaired: VerifyState.REPAIRED,
};

/** VerifyResults: see its comment in the contract. */
export async function* verifyStream(
  manager: StorageManager,
  { prefix, backend, repair }: VerifyResultsRequest,
  { signal, draining }: CallContext,
): AsyncGenerator<VerifyResultsResponse> {
  const role = copyRoleOf(backend);
  const copies = manager.verify({ prefix, role, repair }, signal);
  // A prefix has some of them; how many, only the list tells.
  const totalCount = prefix === '' ? BigInt(await manager.copyCount(role, signal)) : 0n;
  let checkedCount = 0n;
  let checkedBytes = 0n;
  for await (const copy of copies) {
    if (draining.aborted) throw shuttingDown();
    checkedCount++;
    checkedBytes += BigInt(copy.byteLength);
    yield create(VerifyResultsResponseSchema, {
      ...{ key: copy.key, revision: copy.revision, message: copy.message, checkedCount, totalCount, checkedBytes },
      backend: toBackend(copy.role),
      state: STATE[copy.state],
    });
  }
}

function copyRoleOf(backend: Backend): CopyRole | undefined {
  const role = roleOf(backend, 'backend');
  if (role === 'cache') throw invalid('backend is CACHE; PRIMARY or SECONDARY is possible');
  return role;
}
