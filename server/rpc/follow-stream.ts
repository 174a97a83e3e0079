import { create } from '@bufbuild/protobuf';
import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { Backend, ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import type { RowBatch } from '../../proto/gen/optistore/v1/rows_pb.js';
import type { LoadResultRequest, LoadResultResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { LoadResultResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { FollowEvent, FollowSpec } from '../manager/follow/follow-upload.js';
import { toResult, toUploadingResult } from '../manager/result-view.js';
import type { StorageManager } from '../manager/storage-manager.js';
import { checkedNumber, invalid } from '../manager/validate.js';
import { schemaOf } from '../rows/batch.js';
import { cutBatch } from '../rows/slice.js';
import { toRowBatch } from '../rows/wire.js';
import { toBackend } from './convert.js';
import { checkBatchBytes } from './load-stream.js';
import { shuttingDown } from './save-stream.js';
import type { CallContext } from './service.js';

/** What a load that follows an upload is told by the daemon. */
export interface FollowStreamOptions {
  /** A batch without rows is sent after so long without one that has some. Default: 15 s. */
  readonly followHeartbeatMs?: number;
}

/** LoadResult with `follow`: see its comment in the contract. */
export async function* followStream(
  manager: StorageManager,
  request: LoadResultRequest,
  { signal, draining }: CallContext,
  options: FollowStreamOptions,
): AsyncGenerator<LoadResultResponse> {
  const spec = specOf(request, options);
  let nextRow = spec.firstRow;
  const stopped = AbortSignal.any([signal, draining]);
  try {
    const { manifest, role, columns, events } = await manager.followUpload(spec, stopped);
    const variables = columns.flatMap((index) => manifest.problem?.variables[index] ?? []);
    const result = toUploadingResult(manifest);
    const header = { result, servedFrom: toBackend(role), variables, firstRow: BigInt(spec.firstRow) };
    yield create(LoadResultResponseSchema, { message: { case: 'header', value: header } });
    for await (const event of events) {
      for (const message of messagesOf(event, variables, nextRow, spec)) {
        if (draining.aborted) throw shuttingDown();
        yield message;
        // Of a batch that was sent, also where the next one is not.
        if (message.message.case === 'batch') nextRow += message.message.value.rowCount;
      }
    }
  } catch (error) {
    throw draining.aborted ? shuttingDown({ next_row: String(nextRow) }) : error;
  }
}

/** What a follower is sent for an event. `nextRow`: the row behind those that it has. */
function* messagesOf(
  event: FollowEvent,
  variables: readonly Variable[],
  nextRow: number,
  spec: FollowSpec,
): Generator<LoadResultResponse> {
  switch (event.kind) {
    case 'rows':
      for (const part of cutBatch(schemaOf(variables), event.batch, spec.batchBytes))
        yield batchMessage(toRowBatch(part, variables));
      return;
    case 'alive':
      yield batchMessage(toRowBatch({ firstRow: nextRow, rowCount: 0, columns: [] }, []));
      return;
    case 'committed': {
      const result = toResult(event.manifest, ResultView.FULL);
      const value = { rowCount: BigInt(nextRow - spec.firstRow), result };
      yield create(LoadResultResponseSchema, { message: { case: 'trailer', value } });
      return;
    }
    default:
      event satisfies never;
  }
}

/** The message of a batch: a literal, as `create` reflects over the descriptor for each column anew. */
function batchMessage(value: RowBatch): LoadResultResponse {
  return { $typeName: 'optistore.v1.LoadResultResponse', message: { case: 'batch', value } };
}

function specOf(request: LoadResultRequest, options: FollowStreamOptions): FollowSpec {
  const { key, uploadId, columns, firstRow } = request;
  const wrong =
    (request.revision !== undefined && 'revision') ||
    (request.rowCount !== undefined && 'row_count') ||
    (request.resultSet !== '' && 'result_set') ||
    (request.sampleRows !== 0 && 'sample_rows') ||
    (request.backend !== Backend.UNSPECIFIED && 'backend');
  if (wrong) throw invalid(`${wrong} does not go with follow; columns, first_row and max_batch_bytes do`);
  return {
    ...{ key, columns, firstRow: checkedNumber(firstRow ?? 0n, 'first_row') },
    uploadId: uploadId === '' ? undefined : uploadId,
    batchBytes: checkBatchBytes(request.maxBatchBytes),
    ...(options.followHeartbeatMs !== undefined && { heartbeatMs: options.followHeartbeatMs }),
  };
}
