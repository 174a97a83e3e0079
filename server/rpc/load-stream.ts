import { create } from '@bufbuild/protobuf';
import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { Backend, ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import type { LoadResultRequest, LoadResultResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { LoadResultResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { selectionOf } from '../manager/selection.js';
import { LOAD_BATCH_BYTES_DEFAULT, LOAD_BATCH_BYTES_MAX, LOAD_BATCH_BYTES_MIN } from '../limits.js';
import type { StorageManager } from '../manager/storage-manager.js';
import { invalid } from '../manager/validate.js';
import { schemaOf } from '../rows/batch.js';
import { cutBatch } from '../rows/slice.js';
import { toRowBatch } from '../rows/wire.js';
import { toResult } from '../manager/result-view.js';
import { shuttingDown } from './save-stream.js';
import type { CallContext } from './service.js';

/** LoadResult: see its comment in the contract. */
export async function* loadStream(
  manager: StorageManager,
  request: LoadResultRequest,
  context: CallContext,
): AsyncGenerator<LoadResultResponse> {
  const batchBytesMax = checkBatchBytes(request.maxBatchBytes);
  // Numbers beyond 2^53 are not exact as such, but beyond any row and revision that there is.
  const revision = request.revision === undefined ? undefined : Number(request.revision);
  const manifest = await manager.stat(request.key, revision, context.signal);
  const selection = selectionOf(manifest, {
    columns: request.columns,
    firstRow: Number(request.firstRow ?? 0n),
    rowCount: request.rowCount === undefined ? undefined : Number(request.rowCount),
  });
  const variables = selection.columns.map((index) => manifest.problem?.variables[index] as Variable);
  const { firstRow, rowCount } = selection;
  const rows = manager.read(manifest, selection, context.signal);
  yield create(LoadResultResponseSchema, {
    message: {
      case: 'header',
      value: {
        result: toResult(manifest, ResultView.FULL),
        servedFrom: rows.servedFrom === 'cache' ? Backend.CACHE : Backend.PRIMARY,
        variables,
        firstRow: BigInt(firstRow),
        rowCount: BigInt(rowCount),
      },
    },
  });
  if (rowCount > 0) {
    for await (const batch of rows) {
      for (const part of cutBatch(schemaOf(variables), batch, batchBytesMax)) {
        if (context.draining.aborted) throw shuttingDown({ next_row: String(part.firstRow) });
        const value = toRowBatch(part, variables);
        yield { $typeName: 'optistore.v1.LoadResultResponse', message: { case: 'batch', value } };
      }
    }
  }
  yield create(LoadResultResponseSchema, { message: { case: 'trailer', value: { rowCount: BigInt(rowCount) } } });
}

function checkBatchBytes(asked: number): number {
  if (asked === 0) return LOAD_BATCH_BYTES_DEFAULT;
  if (asked >= LOAD_BATCH_BYTES_MIN && asked <= LOAD_BATCH_BYTES_MAX) return asked;
  throw invalid(`max_batch_bytes is ${asked}; 0 or ${LOAD_BATCH_BYTES_MIN} to ${LOAD_BATCH_BYTES_MAX} is possible`);
}
