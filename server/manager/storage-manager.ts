import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { openBackend, type BackendConfig } from '../backends/open-backend.js';
import type { BackendStats, ListQuery, StorageBackend, Upload, UploadSpec, UploadState } from '../backends/backend.js';
import { StorageError } from '../errors.js';
import type { Selection } from '../rows/select.js';
import type { Result, ResultSet } from '../../proto/gen/optistore/v1/result_pb.js';
import { checkNewSet, putSet, removeSet, type NewSet } from './result-sets/change-sets.js';
import { checkNewResultSets, checkTotals } from './result-sets/check-sets.js';
import { readSet, type ServedSet, type SetSelection } from './result-sets/read-set.js';
import { afterCommit } from './after-commit.js';
import { followUpload, type FollowedUpload, type FollowSpec } from './follow/follow-upload.js';
import { UploadBells } from './follow/upload-bells.js';
import { cached } from './cache/cached.js';
import { ResultCache, type CacheStats } from './cache/result-cache.js';
import { verifyResults, type VerifiedCopy } from './verification/verify-results.js';
import { ChangeBell } from './watch/change-bell.js';
import { watchResults, type WatchEvent, type WatchSpec } from './watch/watch-results.js';
import { inRole, type RoleStore, type ServedRows } from './served-rows.js';
import type { ListOptions, LoadedResult, LoadOptions, NewResult, SaveOptions } from './whole-results.js';
import { listWholeResults, loadWholeResult, saveWholeResult } from './whole-results.js';
import { checkKey, checkMetadata, checkProblem, checkUploadId } from './validate.js';

/** How a manager is made; the names are those of the configuration file. */
export interface ManagerConfig {
  /** The store that holds every result. Default: LevelDB under ./optistore-data. */
  readonly primary?: BackendConfig;
  /** Whether recently used results are kept in memory. Default: true. */
  readonly use_cache?: boolean;
  /** What the cache may hold, in MiB. Default: 100. */
  readonly cache_size_mb?: number;
  /** An upload without a stream expires this long after its last durable row. Default: 30 days. */
  readonly upload_ttl_ms?: number;
}

/** Opens the stores and makes the manager of them. BACKEND_LOCKED, BACKEND_UNAVAILABLE. */
export async function createStorageManager(config: ManagerConfig = {}): Promise<StorageManager> {
  const { primary = { type: 'leveldb', path: './optistore-data' }, use_cache = true, cache_size_mb = 100 } = config;
  const store = inRole('primary', await openBackend(primary, config));
  if (!use_cache) return new StorageManager(store, undefined, store);
  const cache = new ResultCache(cache_size_mb * 1024 * 1024);
  return new StorageManager(cached(store, cache), cache, store);
}

/** The one interface to all stores. Bad input ends here. */
export class StorageManager implements AsyncDisposable {
  private readonly bell = new ChangeBell();
  private readonly uploadBells = new UploadBells();

  constructor(
    private readonly store: RoleStore,
    private readonly cache: ResultCache | undefined,
    private readonly primary: StorageBackend,
  ) {}

  /**
   * Saves a result whole: durable when it returns. For rows that come while a run goes on, and for more than fits in
   * memory, there is `openUpload`. PROBLEM_INVALID, KEY_INVALID, REVISION_MISMATCH; RangeError or TypeError
   * for values that don't fit their variable.
   */
  saveResult(key: string, result: NewResult, options: SaveOptions = {}): Promise<Result> {
    return saveWholeResult(this, key, result, options);
  }

  /** Loads a result, whole or in part, into memory. RESULT_NOT_FOUND, COLUMN_NOT_FOUND, ROW_RANGE_INVALID. */
  loadResult(key: string, options: LoadOptions = {}): Promise<LoadedResult> {
    return loadWholeResult(this, key, options);
  }

  /** Lists results, without their rows. */
  listResults(options: ListOptions = {}): AsyncIterable<Result> {
    return listWholeResults(this, options);
  }

  /** Whether an ack means stable storage. */
  get isDurable(): boolean {
    return this.store.capabilities.durable;
  }

  /** Opens or resumes an upload: StorageBackend.openUpload, with its input checked. */
  openUpload(spec: UploadSpec, signal: AbortSignal): Promise<Upload> {
    checkKey(spec.key);
    checkUploadId(spec.uploadId);
    if (spec.problem !== undefined) checkProblem(spec.problem);
    checkMetadata(spec.tags, spec.description, spec.attributes);
    return this.openAndTell(spec, signal);
  }

  /**
   * Takes the result sets of a commit: checked against the rows that the result will have, and with those of the base where
   * it is an append. RESULT_SET_INVALID, TOO_MANY_RESULT_SETS.
   */
  async checkResultSets(
    upload: Upload,
    sets: readonly ResultSet[],
    rowCount: number,
    append: boolean,
    signal: AbortSignal,
  ): Promise<ResultSet[]> {
    const taken = checkNewResultSets(sets, rowCount);
    if (!append || taken.length === 0 || upload.committed !== undefined) return taken;
    // Where the base is no longer the newest, the commit says so.
    const base = await this.store.stat(upload.key, undefined, signal);
    const kept = base.resultSets.filter(({ name }) => !taken.some((set) => set.name === name));
    checkTotals([...kept, ...taken]);
    return taken;
  }

  private async openAndTell(spec: UploadSpec, signal: AbortSignal): Promise<Upload> {
    const tellRows = () => this.uploadBells.ring(spec.uploadId);
    const upload = await this.store.openUpload(spec, signal);
    return afterCommit(upload, () => (this.bell.ring(), tellRows()), tellRows);
  }

  /** Follows a save in progress to its result: see LoadResultRequest.follow, and `followUpload` for how it fails. */
  async followUpload(spec: FollowSpec, signal: AbortSignal): Promise<FollowedUpload> {
    checkKey(spec.key);
    if (spec.uploadId !== undefined) checkUploadId(spec.uploadId);
    return followUpload(this.store, this.uploadBells, spec, signal);
  }

  /** What happens, from an event on: see WatchResults in the contract. EVENTS_EXPIRED. */
  watch(spec: WatchSpec, signal: AbortSignal): AsyncIterable<WatchEvent> {
    return watchResults(this.store, this.bell, spec, signal);
  }

  /** Uploads in progress, in order of id. */
  uploads(query: { prefix: string; after?: string }, signal: AbortSignal): AsyncIterable<UploadState> {
    return this.store.uploads(query, signal);
  }

  /** Gives up an upload. */
  async abortUpload(uploadId: string, signal: AbortSignal): Promise<void> {
    checkUploadId(uploadId);
    await this.store.abortUpload(uploadId, signal);
    this.uploadBells.ring(uploadId);
  }

  /** A result's newest revision, or the one asked for. RESULT_NOT_FOUND for a deleted one. */
  async stat(key: string, revision: number | undefined, signal: AbortSignal): Promise<Manifest> {
    checkKey(key);
    const manifest = await this.store.stat(key, revision, signal);
    if (manifest.kind === RevisionKind.COMMITTED) return manifest;
    throw new StorageError('RESULT_NOT_FOUND', `"${key}" was deleted, at revision ${manifest.revision}.`);
  }

  /** Rows of a revision, and who serves them. */
  read(manifest: Manifest, selection: Selection, signal: AbortSignal): ServedRows {
    return this.store.read(manifest, selection, signal);
  }

  /** Rows of a result set in batches of about `batchBytes`, and who serves them. */
  readSet(manifest: Manifest, selection: SetSelection, batchBytes: number, signal: AbortSignal): ServedSet {
    return readSet(manifest, selection, batchBytes, (rows) => this.read(manifest, rows, signal));
  }

  /** Makes or replaces a set: a new revision. RESULT_SET_NOT_FOUND, RESULT_SET_INVALID, TOO_MANY_RESULT_SETS, REVISION_MISMATCH. */
  async putResultSet(
    key: string,
    set: NewSet,
    expectedRevision: number | undefined,
    signal: AbortSignal,
  ): Promise<Manifest> {
    checkKey(key);
    checkNewSet(set);
    return this.annotate(key, expectedRevision, (manifest) => putSet(manifest, set), signal);
  }

  /** Removes a set, not its rows: a new revision. RESULT_SET_NOT_FOUND, REVISION_MISMATCH. */
  async deleteResultSet(
    key: string,
    name: string,
    expectedRevision: number | undefined,
    signal: AbortSignal,
  ): Promise<Manifest> {
    return this.annotate(key, expectedRevision, (manifest) => removeSet(manifest, name), signal);
  }

  /** Results in order. */
  list(query: ListQuery, signal: AbortSignal): AsyncIterable<Manifest> {
    return this.store.list(query, signal);
  }

  /** Changes a result's metadata: StorageBackend.annotate. What `edit` makes is checked by who gives it. */
  async annotate(
    key: string,
    expectedRevision: number | undefined,
    edit: (manifest: Manifest) => void,
    signal: AbortSignal,
  ): Promise<Manifest> {
    checkKey(key);
    const manifest = await this.store.annotate(key, expectedRevision, edit, signal);
    this.bell.ring();
    return manifest;
  }

  /** Deletes a result; gives the deletion's revision. */
  async delete(key: string, expectedRevision: number | undefined, signal: AbortSignal): Promise<number> {
    checkKey(key);
    const revision = await this.store.delete(key, expectedRevision, signal);
    this.bell.ring();
    return revision;
  }

  /** Reads all results whose keys begin so from the primary, past the cache, and checks every byte. */
  verify(prefix: string, signal: AbortSignal): AsyncIterable<VerifiedCopy> {
    return verifyResults(this.primary, prefix, signal);
  }

  /** How the primary is. */
  stats(signal: AbortSignal): Promise<BackendStats> {
    return this.store.stats(signal);
  }

  /** What the cache did and holds; undefined where there is none. */
  cacheStats(): CacheStats | undefined {
    return this.cache?.stats();
  }

  /** Syncs and closes all stores. */
  async close(): Promise<void> {
    await this.store[Symbol.asyncDispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
