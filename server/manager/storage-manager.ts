import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationMode, type Result, type ResultSet } from '../../proto/gen/optistore/v1/result_pb.js';
import type { ListQuery, Upload, UploadSpec, UploadState } from '../backends/backend.js';
import { StorageError } from '../errors.js';
import type { Selection } from '../rows/select.js';
import { afterCommit, afterSync } from './after-commit.js';
import type { CacheStats } from './cache/result-cache.js';
import { closeAll } from './close-all.js';
import { compose, type Composition, type ManagerConfig } from './compose.js';
import type { PinnedStore } from './decorators/pinned.js';
import type { ListedResults } from './listed-results.js';
import type { UpToDateProgress } from './migration/bring-up-to-date.js';
import type { MigrationProgress, MigrationSpec } from './migration/migrate-result.js';
import type { StoreMigrationProgress } from './migration/migrate-store.js';
import { Migrations } from './migration/migrations.js';
import { Mirroring } from './replication/mirroring.js';
import { placementsBeside, removeCopy, type PlacedCopy } from './placements.js';
import { checkNewSet, putSet, removeSet, type NewSet } from './result-sets/change-sets.js';
import { checkNewResultSets, checkTotals } from './result-sets/check-sets.js';
import { readSet, type ServedSet, type SetSelection } from './result-sets/read-set.js';
import { followUpload, type FollowedUpload, type FollowSpec } from './follow/follow-upload.js';
import { UploadBells } from './follow/upload-bells.js';
import { readLocally } from './read-locally.js';
import type { ServedPlaces } from './role-store.js';
import { ServedRows } from './served-rows.js';
import { sampleOf, type SampleSelection } from './sample/sample.js';
import type { NamedSelection } from './selection.js';
import { statusOf, type ManagerStatus } from './status.js';
import { storeOf, type Role, type Stores } from './stores.js';
import type { CheckedCopy, CopyRole } from './verification/checked-copy.js';
import { countCopies, verifyResults, type VerifySpec } from './verification/verify-results.js';
import { ChangeBell } from './watch/change-bell.js';
import { watchResults, type WatchEvent, type WatchSpec } from './watch/watch-results.js';
import type {
  ListOptions,
  LoadedResult,
  LoadOptions,
  MigrateOptions,
  NewResult,
  SaveOptions,
} from './whole-results.js';
import { listWholeResults, loadWholeResult, migrateWholeResult, saveWholeResult } from './whole-results.js';
import { checkKey, checkMetadata, checkProblem, checkUploadId, invalid } from './validate.js';

/** Opens the stores and makes the manager of them. BACKEND_LOCKED, BACKEND_UNAVAILABLE. */
export async function createStorageManager(config: ManagerConfig = {}): Promise<StorageManager> {
  return new StorageManager(await compose(config));
}

/** The one interface to all stores. Bad input ends here. */
export class StorageManager implements AsyncDisposable {
  private readonly bell = new ChangeBell();
  private readonly uploadBells = new UploadBells();
  private readonly store: PinnedStore;
  private readonly volatileUploads = new WeakSet<Upload>();
  /** Each store by itself. */
  private readonly stores: Stores;
  private readonly migrations: Migrations;

  constructor(private readonly composition: Composition) {
    const { store, stores, parts } = composition;
    this.store = store;
    this.stores = stores;
    this.migrations = new Migrations(stores, parts?.mirroring ?? new Mirroring(), () => {
      this.bell.ring();
      parts?.outbox.ring();
    });
    parts?.outbox.start();
  }

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

  /**
   * Moves a result from one store to another, or copies it: verified before the source goes. The same again goes on, and may be
   * said again. RESULT_NOT_FOUND, NO_SECONDARY, VOLATILE_TARGET, REVISION_MISMATCH, RESULT_CORRUPT.
   * @example await manager.migrateResult('run_001', { from: 'cache', to: 'primary' });
   */
  migrateResult(key: string, options: MigrateOptions): Promise<Result> {
    return migrateWholeResult(this, key, options);
  }

  /** Whether an upload's acks mean stable storage. */
  isDurable(upload: Upload): boolean {
    return this.store.capabilities.durable && !this.volatileUploads.has(upload);
  }

  /**
   * Opens or resumes an upload: StorageBackend.openUpload, with its input checked; to the cache alone where `role` says so.
   * A replication of UNSPECIFIED is the configured one. NO_SECONDARY, REQUEST_INVALID.
   */
  async openUpload(spec: UploadSpec, signal: AbortSignal, role: Role = 'primary'): Promise<Upload> {
    checkKey(spec.key);
    checkUploadId(spec.uploadId);
    if (spec.problem !== undefined) checkProblem(spec.problem);
    checkMetadata(spec.tags, spec.description, spec.attributes);
    const opened = await this.openIn(role, { ...spec, replication: this.replicationOf(spec, role) }, signal);
    const tellRows = () => this.uploadBells.ring(spec.uploadId);
    const upload = afterCommit(afterSync(opened, tellRows), (manifest) => {
      this.bell.ring();
      tellRows();
      return manifest;
    });
    if (this.store.isVolatile(opened)) this.volatileUploads.add(upload);
    return upload;
  }

  private openIn(role: Role, spec: UploadSpec, signal: AbortSignal): Promise<Upload> {
    if (role === 'secondary')
      throw invalid('to_backend is SECONDARY; a save goes to PRIMARY or CACHE, and `replication` copies it');
    return role === 'cache' ? this.store.openPinned(spec, signal) : this.store.openUpload(spec, signal);
  }

  private replicationOf({ replication }: UploadSpec, role: Role): ReplicationMode {
    if (ReplicationMode[replication] === undefined) throw invalid(`replication is ${replication}, which is not known`);
    const isAsked = replication === ReplicationMode.ASYNC || replication === ReplicationMode.SYNC;
    if (role === 'cache') {
      if (isAsked)
        throw invalid('a result in the cache alone is not replicated: leave `replication` out, or save it to PRIMARY');
      return ReplicationMode.NONE;
    }
    if (isAsked) storeOf(this.stores, 'secondary');
    return replication === ReplicationMode.UNSPECIFIED ? this.composition.replicationMode : replication;
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

  /** Follows a save in progress to its result: see LoadResultRequest.follow, and `followUpload` for how it fails. */
  async followUpload(spec: FollowSpec, signal: AbortSignal): Promise<FollowedUpload> {
    checkKey(spec.key);
    if (spec.uploadId !== undefined) checkUploadId(spec.uploadId);
    return followUpload(this.store, this.composition.origins, this.uploadBells, spec, signal);
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

  /**
   * A result's newest revision, or the one asked for; `role`: as that store alone has it. RESULT_NOT_FOUND for a deleted one,
   * NO_SECONDARY.
   */
  async stat(key: string, revision: number | undefined, signal: AbortSignal, role?: Role): Promise<Manifest> {
    checkKey(key);
    const store = role === undefined ? this.store : storeOf(this.stores, role);
    const manifest = await store.stat(key, revision, signal);
    if (manifest.kind === RevisionKind.COMMITTED)
      return role === undefined ? manifest : this.composition.origins.mark(manifest, role);
    const what = manifest.kind === RevisionKind.MOVED ? 'was moved to another store' : 'was deleted';
    throw new StorageError('RESULT_NOT_FOUND', `"${key}" ${what}, at revision ${manifest.revision}.`);
  }

  /** Whether the primary could not be asked for a manifest, and may have something newer. */
  isStale(manifest: Manifest): boolean {
    return this.composition.origins.of(manifest).isStale;
  }

  /** The stores that have a result whose newest manifest is given, those that can be asked, and which revision each has. */
  placements(manifest: Manifest, signal: AbortSignal): Promise<PlacedCopy[]> {
    const { guarded, origins } = this.composition;
    return placementsBeside({ role: origins.of(manifest).role, manifest }, guarded, signal);
  }

  /** Rows of a revision, and who serves them; `role`: that store alone, whose manifest it is. */
  read(manifest: Manifest, selection: Selection, signal: AbortSignal, role?: Role): ServedRows {
    if (role === undefined) return this.store.read(manifest, selection, signal);
    return new ServedRows(() => role, storeOf(this.stores, role).read(manifest, selection, signal));
  }

  /** The same for who opens files of this machine: see StorageBackend.locate. */
  readLocally(manifest: Manifest, selection: Selection, signal: AbortSignal, role?: Role): ServedPlaces {
    return readLocally(selection, {
      locate: (rows) => this.locate(manifest, rows, signal, role),
      read: (rows) => this.read(manifest, rows, signal, role),
    });
  }

  private locate(manifest: Manifest, rows: Selection, signal: AbortSignal, role?: Role): ServedPlaces | undefined {
    if (role === undefined) return this.store.locate(manifest, rows, signal);
    const places = storeOf(this.stores, role).locate(manifest, rows, signal);
    return places && new ServedRows(() => role, places);
  }

  /** Rows of a result set in batches of about `batchBytes`, and who serves them. */
  readSet(
    manifest: Manifest,
    selection: SetSelection,
    batchBytes: number,
    signal: AbortSignal,
    role?: Role,
  ): ServedSet {
    return readSet(manifest, selection, batchBytes, (rows) => this.read(manifest, rows, signal, role));
  }

  /** Chooses rows that stand for all of a result; `readSet` reads them. COLUMN_NOT_FOUND, ROW_RANGE_INVALID. */
  sampleOf(
    manifest: Manifest,
    rowsMax: number,
    named: NamedSelection,
    signal: AbortSignal,
    role?: Role,
  ): Promise<SampleSelection> {
    return sampleOf(manifest, rowsMax, named, (rows) => this.read(manifest, rows, signal, role), signal);
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

  /** Results in order, and which stores could not be asked for them. */
  list(query: ListQuery, signal: AbortSignal): ListedResults {
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

  /** Deletes one copy of a result while another store has the same revision; gives that. RESULT_NOT_FOUND, REVISION_MISMATCH, NO_SECONDARY. */
  async deleteCopy(
    key: string,
    role: Role,
    expectedRevision: number | undefined,
    signal: AbortSignal,
  ): Promise<number> {
    checkKey(key);
    return this.migrations.inTurn(key, signal, () => removeCopy(this.stores, key, role, expectedRevision, signal));
  }

  /** Brings results from one store to another: see MigrateResult in the contract. */
  migrate(spec: MigrationSpec, signal: AbortSignal): AsyncIterable<MigrationProgress> {
    return this.migrations.migrate(spec, signal);
  }

  /** Copies to the secondary what it lacks: see ReplicateResults in the contract. */
  bringUpToDate(prefix: string, signal: AbortSignal): AsyncIterable<UpToDateProgress> {
    return this.migrations.bringUpToDate(prefix, signal);
  }

  /** Copies everything to the secondary, and from now on every change: see MigrateStore in the contract. */
  migrateStore(signal: AbortSignal): AsyncIterable<StoreMigrationProgress> {
    return this.migrations.migrateStore(signal);
  }

  /** Reads results again, past the cache, and checks every byte of every copy; repairs where that is asked for. NO_SECONDARY. */
  verify(spec: VerifySpec, signal: AbortSignal): AsyncIterable<CheckedCopy> {
    return verifyResults(this.stores, spec, signal);
  }

  /** How many copies there are to verify. NO_SECONDARY. */
  copyCount(role: CopyRole | undefined, signal: AbortSignal): Promise<number> {
    return countCopies(this.stores, role, signal);
  }

  /** How the stores and what stands between them are. */
  status(signal: AbortSignal): Promise<ManagerStatus> {
    return statusOf(this.composition, signal);
  }

  /** What the cache did and holds; undefined where there is none. */
  cacheStats(): CacheStats | undefined {
    return this.composition.cache?.stats();
  }

  /** Syncs and closes all stores. What waits to be replicated goes on when they are opened again. */
  close(): Promise<void> {
    const { scrub, parts } = this.composition;
    return closeAll([scrub, parts?.outbox, parts?.repairs, this.store]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
