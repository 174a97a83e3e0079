import { create } from '@bufbuild/protobuf';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import type {
  LoadResultRequest,
  LoadResultResponse,
  RowSample,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { LoadResultResponseSchema, RowSampleSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { FileBlocks } from '../backends/backend.js';
import { selectionOf, type NamedSelection } from '../manager/selection.js';
import { setSelectionOf, type SetSelection } from '../manager/result-sets/read-set.js';
import { isSampled, type SampleSelection } from '../manager/sample/sample.js';
import type { Role } from '../manager/stores.js';
import { LOAD_BATCH_BYTES_DEFAULT, LOAD_BATCH_BYTES_MAX, LOAD_BATCH_BYTES_MIN } from '../limits.js';
import type { StorageManager } from '../manager/storage-manager.js';
import { invalid } from '../manager/validate.js';
import type { Batch, Schema } from '../rows/batch.js';
import { batchBytes, schemaOf } from '../rows/batch.js';
import { cutBatch } from '../rows/slice.js';
import { toRowBatch } from '../rows/wire.js';
import { toResult } from '../manager/result-view.js';
import { roleOf, toBackend } from './convert.js';
import { toLocalBlocks } from './local-blocks.js';
import { shuttingDown } from './save-stream.js';
import { gatheredRows, type LoadedRows } from './gathered-rows.js';
import type { CallContext } from './service.js';

/** LoadResult: see its comment in the contract. */
export async function* loadStream(
  manager: StorageManager,
  request: LoadResultRequest,
  context: CallContext,
): AsyncGenerator<LoadResultResponse> {
  if (request.uploadId !== '') throw invalid('upload_id goes with follow; a result is loaded by its key and revision');
  const batchBytesMax = checkBatchBytes(request.maxBatchBytes);
  // Numbers beyond 2^53 are not exact as such, but beyond any row and revision that there is.
  const revision = request.revision === undefined ? undefined : Number(request.revision);
  const role = roleOf(request.backend, 'backend');
  const manifest = await manager.stat(request.key, revision, context.signal, role);
  const named = {
    columns: request.columns,
    firstRow: Number(request.firstRow ?? 0n),
    rowCount: request.rowCount === undefined ? undefined : Number(request.rowCount),
  };
  const selected = await select(manager, manifest, request, { named, batchBytesMax, role }, context);
  const { firstRow, rowCount, batches } = selected;
  const variables = selected.columns.map((index) => manifest.problem?.variables[index] as Variable);
  try {
    // Who serves is known once the first rows are there.
    if (rowCount > 0) await batches.begin();
    yield create(LoadResultResponseSchema, {
      message: {
        case: 'header',
        value: {
          result: toResult(manifest, ResultView.FULL),
          servedFrom: toBackend(batches.servedFrom),
          stale: manager.isStale(manifest),
          variables,
          firstRow: BigInt(firstRow),
          rowCount: BigInt(rowCount),
          ...(selected.sample && { sample: selected.sample }),
        },
      },
    });
    if (rowCount > 0) {
      for await (const loaded of gatheredRows(batches, schemaOf(variables), batchBytesMax))
        for (const message of messagesOf(loaded, variables, batchBytesMax)) {
          // Rows of a block may begin before those that are asked for.
          const nextRow = Math.max(Number(message.value.firstRow), firstRow);
          if (context.draining.aborted) throw shuttingDown({ next_row: String(nextRow) });
          yield { $typeName: 'optistore.v1.LoadResultResponse', message };
        }
    }
    yield create(LoadResultResponseSchema, { message: { case: 'trailer', value: { rowCount: BigInt(rowCount) } } });
  } finally {
    // A client that goes when it has the header leaves rows behind that were begun.
    await batches.end();
  }
}

interface Selected {
  readonly columns: readonly number[];
  readonly firstRow: number;
  readonly rowCount: number;
  readonly batches: ServedLoad;
  readonly sample?: RowSample;
}

/** What a load is made with beside its result. */
interface How {
  readonly named: NamedSelection;
  readonly batchBytesMax: number;
  readonly role: Role | undefined;
}

/** Finds the rows that are asked for: all, those of a set, or a sample. */
async function select(
  manager: StorageManager,
  manifest: Manifest,
  { resultSet, sampleRows, localFiles }: LoadResultRequest,
  how: How,
  { signal, isLocal }: CallContext,
): Promise<Selected> {
  if (resultSet !== '' && sampleRows > 0)
    throw invalid('sample_rows does not go with result_set: a set is loaded whole');
  const { named, role } = how;
  if (resultSet !== '') return picked(manager, manifest, setSelectionOf(manifest, resultSet, named), how, signal);
  if (!isSampled(manifest, sampleRows))
    return rowsOf(manager, manifest, named, { isLocal: localFiles && isLocal === true, signal, role });
  const selection = await manager.sampleOf(manifest, sampleRows, named, signal, role);
  return { ...picked(manager, manifest, selection, how, signal), sample: toRowSample(selection) };
}

function toRowSample({ chosen }: SampleSelection): RowSample {
  return create(RowSampleSchema, {
    rowCount: BigInt(chosen.rows.length),
    frontRowCount: BigInt(chosen.frontRowCount),
    frontIsExact: chosen.isFrontExact,
    sentFrontRowCount: BigInt(chosen.sentFrontRowCount),
  });
}

/** Rows on their way, and who serves them: see ServedRows. */
interface ServedLoad extends AsyncIterable<LoadedRows | FileBlocks> {
  readonly servedFrom: Role;
  begin(): Promise<void>;
  end(): Promise<void>;
}

function rowsOf(
  manager: StorageManager,
  manifest: Manifest,
  named: NamedSelection,
  { isLocal, signal, role }: { isLocal: boolean; signal: AbortSignal; role: Role | undefined },
): Selected {
  const selection = selectionOf(manifest, named);
  const rows = isLocal
    ? manager.readLocally(manifest, selection, signal, role)
    : manager.read(manifest, selection, signal, role);
  const batches = {
    get servedFrom() {
      return rows.servedFrom;
    },
    begin: () => rows.begin(),
    end: () => rows.end(),
    [Symbol.asyncIterator]: () => bare(rows),
  };
  return { ...selection, batches };
}

async function* bare(rows: AsyncIterable<Batch | FileBlocks>): AsyncGenerator<LoadedRows | FileBlocks> {
  for await (const told of rows) yield 'file' in told ? told : { batch: told };
}

type RowsMessage = Extract<LoadResultResponse['message'], { case: 'batch' | 'localBlocks' }>;

/** Rows as they are sent, or where they lie. */
function* messagesOf(
  loaded: LoadedRows | FileBlocks,
  variables: readonly Variable[],
  batchBytesMax: number,
): Generator<RowsMessage> {
  if ('file' in loaded) {
    for (const value of toLocalBlocks(loaded, variables)) yield { case: 'localBlocks', value };
    return;
  }
  for (const { batch, rowNumbers } of cutForWire(schemaOf(variables), loaded, batchBytesMax))
    yield { case: 'batch', value: toRowBatch(batch, variables, rowNumbers) };
}

function picked(
  manager: StorageManager,
  manifest: Manifest,
  selection: SetSelection,
  { batchBytesMax, role }: How,
  signal: AbortSignal,
): Selected {
  const { columns, firstRow, rowCount } = selection;
  return { columns, firstRow, rowCount, batches: manager.readSet(manifest, selection, batchBytesMax, signal, role) };
}

/** Cuts rows into messages; the numbers of a set's rows count as well. */
function* cutForWire(schema: Schema, { batch, rowNumbers }: LoadedRows, bytesMax: number): Generator<LoadedRows> {
  if (rowNumbers === undefined) {
    for (const part of cutBatch(schema, batch, bytesMax)) yield { batch: part };
    return;
  }
  const bytes = batchBytes(batch);
  const columnBytesMax = (bytesMax * bytes) / (bytes + rowNumbers.byteLength);
  for (const part of cutBatch(schema, batch, columnBytesMax)) {
    const from = (part.firstRow - batch.firstRow) * 8;
    yield { batch: part, rowNumbers: rowNumbers.subarray(from, from + part.rowCount * 8) };
  }
}

/** The size of a load's batches: the default for 0. REQUEST_INVALID out of bounds. */
export function checkBatchBytes(asked: number): number {
  if (asked === 0) return LOAD_BATCH_BYTES_DEFAULT;
  if (asked >= LOAD_BATCH_BYTES_MIN && asked <= LOAD_BATCH_BYTES_MAX) return asked;
  throw invalid(`max_batch_bytes is ${asked}; 0 or ${LOAD_BATCH_BYTES_MIN} to ${LOAD_BATCH_BYTES_MAX} is possible`);
}
