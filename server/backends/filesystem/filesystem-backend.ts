import { rename } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { JsonValue } from '@bufbuild/protobuf';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { StorageError, toStorageError } from '../../errors.js';
import { REVISION_RETENTION_MS, UPLOAD_MEMORY_MS } from '../../limits.js';
import type { Batch } from '../../rows/batch.js';
import type { Selection } from '../../rows/select.js';
import type {
  BackendStats,
  FileBlocks,
  ListQuery,
  StorageBackend,
  Upload,
  UploadSpec,
  UploadState,
  UploadView,
} from '../backend.js';
import { makeFolders, syncFolder } from '../files.js';
import { annotated, deleted, movedOut } from '../revisions.js';
import { Copies, type ReadSource } from '../uploads/copies.js';
import { ChangeLog } from './change-log.js';
import { decodeJson, encodeJson } from './checked-json.js';
import { namesIn, readIfThere, removeIfOld, replaceFile } from './durable-files.js';
import { EndedUploads } from './ended-uploads.js';
import { FilesystemUploads } from './filesystem-uploads.js';
import { ResultFolders } from './result-folders.js';
import { FilesystemResults, type Change } from './results.js';
import { Retention } from './retention.js';
import { HELD_MS } from './upload-folder.js';
import { UploadList } from './upload-list.js';
import type { FilesystemRows } from './upload-rows.js';
import { UploadViews } from './upload-views.js';

/** How a filesystem store is opened. */
export interface FilesystemOptions {
  /** Its folder; made when absent. Several processes may have it open. */
  readonly base_path: string;
  /** An upload without a stream expires this long after its last durable row. Default: 30 days. */
  readonly upload_ttl_ms?: number;
  /** A superseded or deleted revision can be read this long. Default: 10 minutes. */
  readonly revision_retention_ms?: number;
}

const FORMAT_VERSION = 1;
const STORE_FILE = 'optistore.json';
const SWEEP_MS = 60_000;
const RENEWAL_MS = HELD_MS / 3;
/** What lies in `temporary/` for so long belongs to a process that has ended. */
const TEMPORARY_MS = 24 * 3_600_000;

/**
 * Opens a store in a folder, or makes it: `results/` has a folder a key with one a change, which hold `result.json` and Arrow
 * files; `uploads/` saves in progress, `ended/` ids of those that ended, `changes.log` the order of all changes. docs/filesystem.md
 * describes it. BACKEND_UNAVAILABLE where it can't be made or is of a newer version; RESULT_CORRUPT.
 */
export async function openFilesystemBackend(options: FilesystemOptions): Promise<FilesystemBackend> {
  const base = resolve(options.base_path);
  try {
    for (const name of ['results', 'uploads', 'ended', 'temporary']) await makeFolders(join(base, name));
    // A start that was killed may have made some.
    await syncFolder(base);
  } catch (error) {
    throw new StorageError('BACKEND_UNAVAILABLE', `The store's folder ${base} can't be made: ${String(error)}.`, {
      cause: error,
    });
  }
  await checkVersion(base);
  const log = await ChangeLog.open(join(base, 'changes.log'));
  try {
    const folders = new ResultFolders(join(base, 'results'), join(base, 'temporary'));
    const results = new FilesystemResults(folders, log);
    await results.open();
    return new FilesystemBackend(base, log, results, options);
  } catch (error) {
    await log[Symbol.asyncDispose]();
    throw toStorageError(error);
  }
}

async function checkVersion(base: string): Promise<void> {
  const path = join(base, STORE_FILE);
  const bytes = await readIfThere(path);
  if (bytes === undefined)
    return replaceFile(base, STORE_FILE, encodeJson({ format: 'optistore filesystem store', version: FORMAT_VERSION }));
  const version = versionIn(bytes, path);
  if (version === undefined) {
    // It says nothing else, and there are no other versions yet.
    await rename(path, `${path}.damaged-${Date.now()}`);
    return checkVersion(base);
  }
  if (version !== FORMAT_VERSION)
    throw new StorageError(
      'BACKEND_UNAVAILABLE',
      `The store at ${base} has version ${JSON.stringify(version)}; this optistore reads version ${FORMAT_VERSION}. Use a newer one.`,
    );
}

/** The version that a store's file says; undefined where it does not check. */
function versionIn(bytes: Buffer, path: string): JsonValue | undefined {
  try {
    return decodeJson(bytes, path)['version'];
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    return undefined;
  }
}

/** Results as folders that people and their tools read: see openFilesystemBackend. */
export class FilesystemBackend implements StorageBackend {
  readonly capabilities = { durable: true, shared: true };
  private readonly openUploads: FilesystemUploads;
  private readonly uploadList: UploadList;
  private readonly uploadViews: UploadViews;
  private readonly copies: Copies<FilesystemRows, Change>;
  private readonly retention: Retention;
  private readonly timers: readonly NodeJS.Timeout[];

  constructor(
    private readonly base: string,
    private readonly log: ChangeLog,
    private readonly results: FilesystemResults,
    options: Omit<FilesystemOptions, 'base_path'>,
  ) {
    const uploads = join(base, 'uploads');
    const ended = new EndedUploads(join(base, 'ended'), results.folders);
    this.openUploads = new FilesystemUploads(uploads, join(base, 'temporary'), results, ended);
    this.uploadList = new UploadList(uploads, this.openUploads, ended, options.upload_ttl_ms ?? UPLOAD_MEMORY_MS);
    this.uploadViews = new UploadViews(this.openUploads, ended, results, (...revision) => this.read(...revision));
    this.copies = new Copies(this.openUploads, results, this.openUploads, results.overDamaged());
    this.retention = new Retention(results, ended, options.revision_retention_ms ?? REVISION_RETENTION_MS);
    this.timers = [
      setInterval(() => void this.sweep().catch(() => undefined), SWEEP_MS).unref(),
      setInterval(() => void this.renewHolds().catch(() => undefined), RENEWAL_MS).unref(),
    ];
  }

  openUpload(spec: UploadSpec): Promise<Upload> {
    return this.openUploads.open(spec);
  }

  uploads(query: { prefix: string; after?: string }): AsyncIterable<UploadState> {
    return this.uploadList.list(query);
  }

  viewUpload(uploadId: string): Promise<UploadView> {
    return this.uploadViews.view(uploadId);
  }

  abortUpload(uploadId: string): Promise<void> {
    return this.openUploads.finish(uploadId, 'aborted');
  }

  stat(key: string, revision?: number): Promise<Manifest> {
    return this.results.stat(key, revision);
  }

  read(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncIterable<Batch> {
    return this.retention.read(manifest, selection, signal);
  }

  locate(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncIterable<FileBlocks> | undefined {
    return this.retention.locate(manifest, selection, signal);
  }

  list(query: ListQuery, signal: AbortSignal): AsyncIterable<Manifest> {
    return this.results.list(query, signal);
  }

  changes(query: { after: bigint; pending?: boolean }, signal: AbortSignal): AsyncIterable<Manifest> {
    return this.results.changes(query, signal);
  }

  changeNumbers(): Promise<{ floor: bigint; newest: bigint }> {
    return this.results.changeNumbers();
  }

  annotate(key: string, expectedRevision: number | undefined, edit: (manifest: Manifest) => void): Promise<Manifest> {
    return this.results.publish(key, async (before) => ({
      manifest: annotated(key, before, expectedRevision, edit),
      changes: [],
    }));
  }

  async delete(key: string, expectedRevision: number | undefined): Promise<number> {
    const marker = await this.results.publish(key, async (before) => ({
      manifest: deleted(key, before, expectedRevision),
      changes: [],
    }));
    return Number(marker.revision);
  }

  async moveOut(key: string, revision: number): Promise<void> {
    await this.results.publish(key, async (before) => {
      const manifest = movedOut(key, before, revision);
      return manifest && { manifest, changes: [] };
    });
  }

  copyIn(manifest: Manifest, read: ReadSource, options: { replace: boolean }, signal: AbortSignal): Promise<Manifest> {
    return this.copies.copyIn(manifest, read, options.replace, signal);
  }

  setReplication(key: string, revision: bigint, state: ReplicationState): Promise<void> {
    return this.results.setReplication(key, revision, state);
  }

  async stats(): Promise<BackendStats> {
    const { sizeBytes, uploadCount, failure } = await this.uploadList.totals();
    const results = await this.results.stats();
    return {
      type: 'filesystem',
      ...results,
      sizeBytes: results.sizeBytes + sizeBytes,
      uploadCount,
      failure: results.failure ?? failure,
    };
  }

  /** Removes revisions whose retention is over, uploads that expired, and what processes left that were killed. */
  async sweep(nowMs = Date.now(), retentionMs?: number): Promise<void> {
    await this.uploadList.expire(nowMs);
    await this.retention.sweep(nowMs, retentionMs);
    const temporary = join(this.base, 'temporary');
    for (const name of await namesIn(temporary))
      await removeIfOld(join(temporary, name), Date.now() - TEMPORARY_MS, temporary);
  }

  /** Says again which uploads have a stream here, and fences those that another process took over or ended. */
  renewHolds(): Promise<void> {
    return this.openUploads.renew();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await this.openUploads.suspend();
    await this.log[Symbol.asyncDispose]();
  }
}
