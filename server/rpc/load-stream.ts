import { create } from '@bufbuild/protobuf';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { Backend, ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import type { LoadResultRequest, LoadResultResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { LoadResultResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { Selection } from '../backends/backend.js';
import { StorageError } from '../errors.js';
import { LOAD_BATCH_BYTES_DEFAULT, LOAD_BATCH_BYTES_MAX, LOAD_BATCH_BYTES_MIN } from '../limits.js';
import type { StorageManager } from '../manager/storage-manager.js';
import { checkedNumber, invalid } from '../manager/validate.js';
import type { Batch } from '../rows/batch.js';
import { batchBytes, schemaOf } from '../rows/batch.js';
import { sliceBatch } from '../rows/slice.js';
import { toRowBatch } from '../rows/wire.js';
import { toResult } from './convert.js';
import { shuttingDown } from './save-stream.js';
import type { CallContext } from './service.js';

/** LoadResult: see its comment in the contract. */
export async function* loadStream(
  manager: StorageManager,
  request: LoadResultRequest,
  context: CallContext,
): AsyncGenerator<LoadResultResponse> {
  const batchBytesMax = checkBatchBytes(request.maxBatchBytes);
  const revision = request.revision === undefined ? undefined : checkedNumber(request.revision, 'revision');
  const manifest = await manager.stat(request.key, revision, context.signal);
  const selection = selectionOf(request, manifest);
  const variables = selection.columns.map((index) => manifest.problem?.variables[index] as Variable);
  const { firstRow, rowCount } = selection;
  yield create(LoadResultResponseSchema, {
    message: {
      case: 'header',
      value: {
        result: toResult(manifest, ResultView.FULL),
        servedFrom: Backend.PRIMARY,
        variables,
        firstRow: BigInt(firstRow),
        rowCount: BigInt(rowCount),
      },
    },
  });
  if (rowCount > 0) {
    for await (const batch of manager.read(manifest, selection, context.signal)) {
      for (const part of cut(batch, variables, batchBytesMax)) {
        if (context.draining.aborted) throw shuttingDown({ next_row: String(part.firstRow) });
        yield create(LoadResultResponseSchema, { message: { case: 'batch', value: toRowBatch(part, variables) } });
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

function selectionOf(request: LoadResultRequest, manifest: Manifest): Selection {
  const stored = Number(manifest.rowCount);
  const firstRow = checkedNumber(request.firstRow ?? 0n, 'first_row');
  if (firstRow > stored) {
    throw new StorageError(
      'ROW_RANGE_INVALID',
      `first_row is ${firstRow}, but "${request.key}" has ${stored} rows. Ask for 0 to ${stored}.`,
    );
  }
  const asked = request.rowCount === undefined ? stored : checkedNumber(request.rowCount, 'row_count');
  return { columns: columnsOf(request, manifest), firstRow, rowCount: Math.min(asked, stored - firstRow) };
}

function columnsOf(request: LoadResultRequest, manifest: Manifest): number[] {
  const variables = manifest.problem?.variables ?? [];
  if (request.columns.length === 0) return variables.map((_, index) => index);
  const indexOf = new Map(variables.map((variable, index) => [variable.name, index]));
  if (new Set(request.columns).size !== request.columns.length) throw invalid('columns names one twice');
  return request.columns.map((name) => {
    const index = indexOf.get(name);
    if (index !== undefined) return index;
    const has = variables.slice(0, 20).map((variable) => variable.name);
    throw new StorageError(
      'COLUMN_NOT_FOUND',
      `"${request.key}" has no column ${JSON.stringify(name)}. It has ${has.join(', ')}${variables.length > 20 ? ', …' : ''}.`,
    );
  });
}

/** Cuts a stored piece into batches of at most so many bytes, of a row at least. */
function* cut(batch: Batch, variables: readonly Variable[], bytesMax: number): Generator<Batch> {
  const bytes = batchBytes(batch);
  // Some slack, so that a stored block a little over the limit is not sent as one large and one tiny batch.
  if (bytes <= bytesMax * 1.1 || batch.rowCount === 1) {
    yield batch;
    return;
  }
  const schema = schemaOf(variables);
  const middle = Math.ceil(bytes / bytesMax);
  const rows = Math.max(1, Math.floor(batch.rowCount / middle));
  for (let from = 0; from < batch.rowCount; from += rows) {
    const part = sliceBatch(schema, batch, from, Math.min(rows, batch.rowCount - from));
    // Rows of strings differ in size: a part that is still too large is cut again.
    if (part.rowCount < batch.rowCount) yield* cut(part, variables, bytesMax);
    else yield part;
  }
}
