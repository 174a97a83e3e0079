import { randomUUID } from 'node:crypto';
import { create, type JsonObject, type MessageInitShape } from '@bufbuild/protobuf';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ProblemSchema } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Result } from '../../proto/gen/optistore/v1/result_pb.js';
import { Outcome, ReplicationMode, ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import type { ListOrder, Upload } from '../backends/backend.js';
import { allOf, allTags } from '../filter/filter.js';
import { parseFilter } from '../filter/parse.js';
import { StorageError } from '../errors.js';
import type { Batch, Column } from '../rows/batch.js';
import { schemaOf } from '../rows/batch.js';
import { resultSetsOf, type GivenSet } from '../rows/row-numbers/given-rows.js';
import { numbersFromBytes } from '../rows/row-numbers/number-bytes.js';
import { cutBatch } from '../rows/slice.js';
import { BLOCK_BYTES_MIN } from '../limits.js';
import { concatColumns, encodeColumns, inOwnMemory, type ColumnInput, type LoadedColumn } from '../rows/columns.js';
import { toResult } from './result-view.js';
import { setSelectionOf, type SetSelection } from './result-sets/read-set.js';
import { selectionOf } from './selection.js';
import type { StorageManager } from './storage-manager.js';
import type { Role } from './stores.js';

/** A result to save, whole. */
export interface NewResult {
  /** What was optimized; its variables are the columns. */
  readonly problem: MessageInitShape<typeof ProblemSchema>;
  /** Values by the variables' names, all of one length. */
  readonly columns: Readonly<Record<string, ColumnInput>>;
  readonly tags?: Readonly<Record<string, string>>;
  readonly description?: string;
  readonly attributes?: JsonObject;
  /** How the run ended. Default: FINISHED. */
  readonly outcome?: Outcome;
  /** Named subsets of the rows. */
  readonly resultSets?: readonly GivenSet[];
}

/** How a result is saved. */
export interface SaveOptions {
  /** The newest revision that the key must have; 0: it must not exist. */
  readonly expectedRevision?: number;
  /** Adds the rows behind those that the key has. Default: false. */
  readonly append?: boolean;
  /** Copies it to the secondary: true does not wait for that, `sync` does. Default: as configured. NO_SECONDARY. */
  readonly replicate?: boolean | 'sync';
  /** `cache`: kept in memory alone until it is migrated or deleted. Default: primary. */
  readonly to?: 'primary' | 'cache';
  readonly signal?: AbortSignal;
}

/** What of a result is loaded. */
export interface LoadOptions {
  /** Names of columns, in the order wanted. Default: all. */
  readonly columns?: readonly string[];
  /** Default: 0. */
  readonly firstRow?: number;
  /** Default: to the end. */
  readonly rowCount?: number;
  /** Default: the newest. */
  readonly revision?: number;
  /** Only the rows of this set; `firstRow` and `rowCount` then count positions in it. */
  readonly resultSet?: string;
  readonly signal?: AbortSignal;
}

/** A loaded result. */
export interface LoadedResult {
  readonly result: Result;
  /** By name, in the order asked for. */
  readonly columns: Readonly<Record<string, LoadedColumn>>;
  /** Of the load of a set: the rows' numbers in the result. */
  readonly rowNumbers?: Float64Array;
}

/** Which results are listed, and how. */
export interface ListOptions {
  readonly prefix?: string;
  /** All of these tags with these values. */
  readonly tags?: Readonly<Record<string, string>>;
  /** Such as `solver = "NSGA2" AND best.f < 2.5`; see docs/filter.md. FILTER_INVALID. */
  readonly filter?: string;
  /** Default: by key. */
  readonly orderBy?: ListOrder;
  readonly descending?: boolean;
  readonly signal?: AbortSignal;
  /** Is told at the end which stores could not be asked, or have entries that do not check: something may be lacking or old. */
  readonly onUnreachable?: (stores: readonly string[]) => void;
}

const NEVER_CANCELLED = new AbortController().signal;

/** Between which stores a result goes. */
export interface MigrateOptions {
  readonly from: Role;
  readonly to: Role;
  /** Copies instead of moving. A volatile store, such as the cache, takes copies only. Default: false. */
  readonly keepSource?: boolean;
  readonly signal?: AbortSignal;
}

/** Saves a result whole; see StorageManager.saveResult. */
export async function saveWholeResult(
  manager: StorageManager,
  key: string,
  result: NewResult,
  options: SaveOptions,
): Promise<Result> {
  const problem: Problem = create(ProblemSchema, result.problem);
  const spec = {
    key,
    uploadId: randomUUID(),
    problem,
    tags: result.tags ?? {},
    attributes: result.attributes,
    description: result.description ?? '',
    expectedRevision: options.expectedRevision,
    replication: modeOf(options.replicate),
    append: options.append ?? false,
    createdBy: '',
  };
  const { rowCount, columns } = encodeColumns(problem.variables, result.columns);
  // A store keeps them, in memory for ever; the caller's arrays are the caller's.
  const kept = inOwnMemory(columns);
  const signal = options.signal ?? NEVER_CANCELLED;
  await using upload = await manager.openUpload(spec, signal, options.to);
  try {
    return await saveRows(manager, upload, result, spec.append, { rowCount, columns: kept }, signal);
  } catch (error) {
    // Nobody knows its id: it would be kept for nothing. What it failed by is told, not this.
    await manager.abortUpload(spec.uploadId, NEVER_CANCELLED).catch(() => undefined);
    throw error;
  }
}

async function saveRows(
  manager: StorageManager,
  upload: Upload,
  result: NewResult,
  append: boolean,
  { rowCount, columns }: { readonly rowCount: number; readonly columns: readonly Column[] },
  signal: AbortSignal,
): Promise<Result> {
  // Before any row is sent: an upload without rows leaves nothing behind.
  const given = resultSetsOf(result.resultSets ?? []);
  const resultSets = await manager.checkResultSets(upload, given, upload.nextRow + rowCount, append, signal);
  if (rowCount > 0) {
    const schema = schemaOf(upload.problem.variables);
    for (const batch of cutBatch(schema, { firstRow: upload.nextRow, rowCount, columns }, BLOCK_BYTES_MIN))
      await upload.append(batch);
  }
  return toResult(
    await upload.commit({ rowCount: upload.nextRow, outcome: result.outcome ?? Outcome.FINISHED, resultSets }),
    ResultView.FULL,
  );
}

function modeOf(replicate: SaveOptions['replicate']): ReplicationMode {
  if (replicate === 'sync') return ReplicationMode.SYNC;
  if (replicate === undefined) return ReplicationMode.UNSPECIFIED;
  return replicate ? ReplicationMode.ASYNC : ReplicationMode.NONE;
}

/** Loads a result, whole or in part; see StorageManager.loadResult. */
export async function loadWholeResult(
  manager: StorageManager,
  key: string,
  options: LoadOptions,
): Promise<LoadedResult> {
  const signal = options.signal ?? NEVER_CANCELLED;
  const manifest = await manager.stat(key, options.revision, signal);
  const { columns: names = [], firstRow = 0, rowCount, resultSet } = options;
  const named = { columns: names, firstRow, rowCount };
  if (resultSet !== undefined) return loadSet(manager, manifest, setSelectionOf(manifest, resultSet, named), signal);
  const selection = selectionOf(manifest, named);
  const batches: Batch[] = [];
  if (selection.rowCount > 0) for await (const batch of manager.read(manifest, selection, signal)) batches.push(batch);
  return { result: toResult(manifest, ResultView.FULL), columns: columnsFrom(manifest, selection.columns, batches) };
}

async function loadSet(
  manager: StorageManager,
  manifest: Manifest,
  selection: SetSelection,
  signal: AbortSignal,
): Promise<LoadedResult> {
  const batches: Batch[] = [];
  const numbers: Uint8Array[] = [];
  for await (const { batch, rowNumbers } of manager.readSet(manifest, selection, BLOCK_BYTES_MIN, signal)) {
    batches.push(batch);
    numbers.push(rowNumbers);
  }
  const columns = columnsFrom(manifest, selection.columns, batches);
  return { result: toResult(manifest, ResultView.FULL), columns, rowNumbers: numbersFromBytes(numbers) };
}

function columnsFrom(
  manifest: Manifest,
  indices: readonly number[],
  batches: readonly Batch[],
): LoadedResult['columns'] {
  const columns = indices.map((index, i) => {
    const variable = manifest.problem?.variables[index];
    if (variable === undefined) throw new RangeError(`a selection names column ${index}, which is not there`);
    const parts = batches.map((batch) => ({ column: batch.columns[i] as Column, rowCount: batch.rowCount }));
    return [variable.name, concatColumns(variable, parts)] as const;
  });
  return Object.fromEntries(columns);
}

/** Lists results; see StorageManager.listResults. */
export async function* listWholeResults(manager: StorageManager, options: ListOptions): AsyncGenerator<Result> {
  const {
    prefix = '',
    tags = {},
    filter = '',
    orderBy = 'key',
    descending = false,
    signal = NEVER_CANCELLED,
    onUnreachable,
  } = options;
  const manifests = manager.list(
    { prefix, filter: allOf(allTags(tags), parseFilter(filter)), orderBy, descending },
    signal,
  );
  for await (const manifest of manifests) yield toResult(manifest, ResultView.BASIC);
  if (manifests.unreachable.size > 0) onUnreachable?.([...manifests.unreachable]);
}

/** Brings a result from one store to another; see StorageManager.migrateResult. */
export async function migrateWholeResult(
  manager: StorageManager,
  key: string,
  { from, to, keepSource = false, signal = NEVER_CANCELLED }: MigrateOptions,
): Promise<Result> {
  for await (const { copy } of manager.migrate({ what: { key }, from, to, keepSource }, signal))
    if (copy !== undefined) return toResult(copy, ResultView.FULL);
  throw new StorageError('INTERNAL', 'a migration ended without a result and without a failure');
}
