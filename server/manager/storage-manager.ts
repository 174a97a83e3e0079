import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { openBackend, type BackendConfig } from '../backends/open-backend.js';
import type {
  BackendStats,
  ListQuery,
  Selection,
  StorageBackend,
  Upload,
  UploadSpec,
  UploadState,
} from '../backends/backend.js';
import { StorageError } from '../errors.js';
import type { Batch } from '../rows/batch.js';
import { checkKey, checkMetadata, checkProblem, checkUploadId } from './validate.js';

/** How a manager is made; the names are those of the configuration file. */
export interface ManagerConfig {
  /** The store that holds every result. */
  readonly primary: BackendConfig;
  /** An upload without a stream expires this long after its last durable row. Default: 30 days. */
  readonly upload_ttl_ms?: number;
}

/** Opens the stores and makes the manager of them. */
export async function createStorageManager(config: ManagerConfig): Promise<StorageManager> {
  return new StorageManager(await openBackend(config.primary, config));
}

/** The one interface to all stores. Bad input ends here. */
export class StorageManager implements AsyncDisposable {
  constructor(private readonly primary: StorageBackend) {}

  /** Whether an ack means stable storage. */
  get isDurable(): boolean {
    return this.primary.capabilities.durable;
  }

  /** Opens or resumes an upload: StorageBackend.openUpload, with its input checked. */
  openUpload(spec: UploadSpec, signal: AbortSignal): Promise<Upload> {
    checkKey(spec.key);
    checkUploadId(spec.uploadId);
    if (spec.problem !== undefined) checkProblem(spec.problem);
    checkMetadata(spec.tags, spec.description, spec.attributes);
    return this.primary.openUpload(spec, signal);
  }

  /** Uploads in progress, in order of id. */
  uploads(query: { prefix: string; after?: string }, signal: AbortSignal): AsyncIterable<UploadState> {
    return this.primary.uploads(query, signal);
  }

  /** Gives up an upload. */
  async abortUpload(uploadId: string, signal: AbortSignal): Promise<void> {
    checkUploadId(uploadId);
    await this.primary.abortUpload(uploadId, signal);
  }

  /** A result's newest revision, or the one asked for. RESULT_NOT_FOUND for a deleted one. */
  async stat(key: string, revision: number | undefined, signal: AbortSignal): Promise<Manifest> {
    checkKey(key);
    const manifest = await this.primary.stat(key, revision, signal);
    if (manifest.kind === RevisionKind.COMMITTED) return manifest;
    throw new StorageError('RESULT_NOT_FOUND', `"${key}" was deleted, at revision ${manifest.revision}.`);
  }

  /** Rows of a revision. */
  read(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncIterable<Batch> {
    return this.primary.read(manifest, selection, signal);
  }

  /** Results in order. */
  list(query: ListQuery, signal: AbortSignal): AsyncIterable<Manifest> {
    return this.primary.list(query, signal);
  }

  /** Deletes a result; gives the deletion's revision. */
  async delete(key: string, expectedRevision: number | undefined, signal: AbortSignal): Promise<number> {
    checkKey(key);
    return this.primary.delete(key, expectedRevision, signal);
  }

  /** How the primary is. */
  stats(signal: AbortSignal): Promise<BackendStats> {
    return this.primary.stats(signal);
  }

  /** Syncs and closes all stores. */
  async close(): Promise<void> {
    await this.primary[Symbol.asyncDispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
