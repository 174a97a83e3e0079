import { create } from '@bufbuild/protobuf';
import { ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import {
  DeleteResultSetResponseSchema,
  PutResultSetResponseSchema,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { setNamed } from '../manager/result-sets/change-sets.js';
import { withoutRows } from '../manager/result-sets/check-sets.js';
import { toResult } from '../manager/result-view.js';
import type { StorageManager } from '../manager/storage-manager.js';
import { checkedNumber } from '../manager/validate.js';
import type { StorageServiceHandlers } from './service.js';

/** PutResultSet and DeleteResultSet: see their comments in the contract. */
export function resultSetHandlers(
  manager: StorageManager,
): Pick<StorageServiceHandlers, 'putResultSet' | 'deleteResultSet'> {
  return {
    async putResultSet(request, { signal }) {
      const { key, name, rows, operation, parents, createdBy, description } = request;
      const set = { name, rows, operation, parents, createdBy, description };
      const manifest = await manager.putResultSet(key, set, expectedOf(request.expectedRevision), signal);
      const result = toResult(manifest, ResultView.BASIC);
      return create(PutResultSetResponseSchema, { result, resultSet: withoutRows(setNamed(manifest, name)) });
    },
    async deleteResultSet(request, { signal }) {
      const { key, name, expectedRevision } = request;
      const manifest = await manager.deleteResultSet(key, name, expectedOf(expectedRevision), signal);
      return create(DeleteResultSetResponseSchema, { result: toResult(manifest, ResultView.BASIC) });
    },
  };
}

function expectedOf(revision: bigint | undefined): number | undefined {
  return revision === undefined ? undefined : checkedNumber(revision, 'expected_revision');
}
