import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { StorageError } from '../../errors.js';
import { REVISION_RETENTION_MS, UPLOAD_MEMORY_MS } from '../../limits.js';
import { schemaOf, type Batch } from '../../rows/batch.js';
import type { Selection } from '../../rows/select.js';
import { milliseconds } from '../../times.js';
import type {
  BackendStats,
  Capabilities,
  ListQuery,
  StorageBackend,
  Upload,
  UploadSpec,
  UploadState,
  UploadView,
} from '../backend.js';
import { annotated, deleted, movedOut } from '../revisions.js';
import type { Disk } from '../room/disk.js';
import type { ReadSource } from '../uploads/copies.js';
import { readRevision } from './blocks.js';
import { parseConnectionString } from './connection-string.js';
import { Database } from './database.js';
import { DatabaseCopies } from './database-copies.js';
import { DatabaseUploads } from './database-uploads.js';
import { EndedUploads } from './ended-uploads.js';
import { Results } from './results.js';
import { LEASE_AFTER_MS, Retention } from './retention.js';
import { readStore } from './store-row.js';
import { HELD_MS } from './upload-table.js';
import { viewUpload } from './view-upload.js';

/** How a database store is opened. */
export interface DatabaseOptions {
  /** `sqlite:///results.db`, `sqlite:////abs/path`, `sqlite://` (in memory), `postgresql://user:password@host:port/database`. */
  readonly connection_string: string;
  /** An upload without a stream expires this long after its last durable row. Default: 30 days. */
  readonly upload_ttl_ms?: number;
  /** A superseded or deleted revision can be read this long. Default: 10 minutes. */
  readonly revision_retention_ms?: number;
}

const SWEEP_MS = 60_000;
const RENEWAL_MS = HELD_MS / 3;

/**
 * Opens a store in SQLite or PostgreSQL; makes or updates its tables. A server that can't be reached is no failure: calls
 * fail with BACKEND_UNAVAILABLE until it is there. REQUEST_INVALID for a wrong connection string; BACKEND_UNAVAILABLE
 * for a SQLite file that can't be used.
 */
export async function openDatabaseBackend(options: DatabaseOptions): Promise<DatabaseBackend> {
  const database = new Database(parseConnectionString(options.connection_string));
  try {
    await database.ready();
  } catch (error) {
    if (!database.isPostgresql || !isUnavailable(error)) {
      await database[Symbol.asyncDispose]();
      throw error;
    }
  }
  return new DatabaseBackend(database, options);
}

/** Results in a SQL database, for people's own queries too: docs/database.md describes the tables. */
export class DatabaseBackend implements StorageBackend {
  readonly capabilities: Capabilities;
  private readonly results: Results;
  private readonly openUploads: DatabaseUploads;
  private readonly endedUploads: EndedUploads;
  private readonly copies: DatabaseCopies;
  private readonly retention: Retention;
  private readonly timers: readonly NodeJS.Timeout[];

  constructor(
    private readonly database: Database,
    options: Omit<DatabaseOptions, 'connection_string'>,
  ) {
    this.capabilities = { durable: database.isDurable, shared: database.isPostgresql };
    this.results = new Results(database);
    this.openUploads = new DatabaseUploads(database, this.results);
    this.endedUploads = new EndedUploads(database, this.openUploads, options.upload_ttl_ms ?? UPLOAD_MEMORY_MS);
    this.copies = new DatabaseCopies(database, this.results, this.openUploads, this.endedUploads);
    this.retention = new Retention(database, this.results, options.revision_retention_ms ?? REVISION_RETENTION_MS);
    this.timers = [
      setInterval(() => void this.sweep().catch(() => undefined), SWEEP_MS).unref(),
      setInterval(() => void this.renewHolds().catch(() => undefined), RENEWAL_MS).unref(),
    ];
  }

  openUpload(spec: UploadSpec): Promise<Upload> {
    return this.openUploads.open(spec);
  }

  uploads(query: { prefix: string; after?: string }): AsyncIterable<UploadState> {
    return this.endedUploads.list(query);
  }

  viewUpload(uploadId: string): Promise<UploadView> {
    return viewUpload(this.database, (...revision) => this.read(...revision), uploadId);
  }

  abortUpload(uploadId: string): Promise<void> {
    return this.endedUploads.end(uploadId, 'ABORTED');
  }

  stat(key: string, revision?: number): Promise<Manifest> {
    return this.results.stat(key, revision);
  }

  async *read(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncGenerator<Batch> {
    const reading = this.retention.reading(manifest);
    try {
      const schema = schemaOf(manifest.problem?.variables ?? []);
      yield* readRevision(this.database, manifest, selection, schema, signal);
    } finally {
      reading[Symbol.dispose]();
    }
  }

  /** Nothing of it lies in files that others can read. */
  locate(): undefined {
    return undefined;
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
      addedBytes: 0,
    }));
  }

  async delete(key: string, expectedRevision: number | undefined): Promise<number> {
    const marker = await this.results.publish(key, async (before) => ({
      manifest: deleted(key, before, expectedRevision),
      addedBytes: 0,
    }));
    return Number(marker.revision);
  }

  async moveOut(key: string, revision: number): Promise<void> {
    await this.results.publish(key, async (before) => {
      const manifest = movedOut(key, before, revision);
      return manifest && { manifest, addedBytes: 0 };
    });
  }

  copyIn(manifest: Manifest, read: ReadSource, options: { replace: boolean }, signal: AbortSignal): Promise<Manifest> {
    return this.copies.copyIn(manifest, read, options.replace, signal);
  }

  setReplication(key: string, revision: bigint, state: ReplicationState): Promise<void> {
    return this.results.setReplication(key, revision, state);
  }

  async stats(): Promise<BackendStats> {
    try {
      return await this.countedStats();
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      const none = { sizeBytes: 0, resultCount: 0, uploadCount: 0, pendingCount: 0, oldestPendingMs: undefined };
      return { type: 'database', failure: error.message, ...none };
    }
  }

  private async countedStats(): Promise<BackendStats> {
    const { sizeBytes: resultBytes, resultCount, pendingCount } = await readStore(this.database);
    const { sizeBytes, uploadCount } = await this.endedUploads.totals();
    let oldestPendingMs: number | undefined;
    if (pendingCount > 0)
      for await (const { updateTime } of this.changes({ after: 0n, pending: true }, new AbortController().signal)) {
        oldestPendingMs = milliseconds(updateTime);
        break;
      }
    return {
      ...{ type: 'database', failure: await this.failure(), uploadCount, oldestPendingMs },
      ...{ sizeBytes: resultBytes + sizeBytes, resultCount, pendingCount },
    };
  }

  private async failure(): Promise<string | undefined> {
    const lostCount = await this.results.lostCount();
    const lost = lostCount === 0 ? undefined : `${lostCount} results can't be read: run \`optistore verify\`.`;
    return this.database.report ?? lost ?? (await this.database.weakness());
  }

  /** Removes revisions whose retention is over and nobody reads, and uploads that expired. */
  async sweep(nowMs = Date.now()): Promise<void> {
    await this.endedUploads.expire(nowMs);
    await this.retention.sweep(nowMs);
  }

  /** Its disk; undefined: it can't be seen from here. */
  disk(): Promise<Disk | undefined> {
    return this.database.disk();
  }

  /** Removes at once what is kept for its retention alone. Other daemons have told by then of the loads that they have. */
  reclaim(): Promise<void> {
    return this.retention.sweep(Date.now(), this.database.isPostgresql ? 2 * LEASE_AFTER_MS : 0);
  }

  /** Says again which uploads have a stream here, and fences those that another daemon took over or ended. */
  renewHolds(): Promise<void> {
    return this.openUploads.renew();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await this.openUploads.suspend();
    await this.database[Symbol.asyncDispose]();
  }
}

function isUnavailable(error: unknown): error is StorageError {
  return error instanceof StorageError && error.reason === 'BACKEND_UNAVAILABLE';
}
