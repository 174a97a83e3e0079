import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ManifestSchema, RevisionKind, UploadOutcome } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { REVISION_RETENTION_MS, UPLOAD_MEMORY_MS } from '../../limits.js';
import { throwIfCancelled } from '../../errors.js';
import type { Batch } from '../../rows/batch.js';
import { schemaOf } from '../../rows/batch.js';
import type {
  BackendStats,
  ListOrder,
  ListPosition,
  ListQuery,
  StorageBackend,
  Upload,
  UploadSpec,
  UploadState,
} from '../backend.js';
import { resultNotFound, revisionGone, revisionNotFound } from '../result-errors.js';
import { SerialByName } from '../serial.js';
import { milliseconds, nanoseconds } from '../times.js';
import { checkRevision, committedRevision } from '../uploads/upload-errors.js';
import { Uploads } from '../uploads/uploads.js';
import { MemoryBudget } from './memory-budget.js';
import type { MemoryChange, MemoryUploadRows } from './memory-uploads.js';
import { MemoryUploads } from './memory-uploads.js';
import type { RowBlocks } from './row-blocks.js';
import { selectRows, type Selection } from '../../rows/select.js';
import { SortedPlaces } from './sorted-places.js';

/** How a memory store is made. */
export interface MemoryOptions {
  /** What its rows may take, in MiB; rows beyond are refused with MEMORY_LIMIT. */
  readonly max_memory_mb: number;
  /** An upload without a stream expires this long after its last row. Default: 30 days. */
  readonly upload_ttl_ms?: number;
  /** A superseded or deleted revision can be read this long. Default: 10 minutes. */
  readonly revision_retention_ms?: number;
}

/** A revision that is kept, and who reads it. */
interface Revision {
  readonly manifest: Manifest;
  readonly rows: RowBlocks | undefined;
  readerCount: number;
  supersededMs: number | undefined;
}

const SWEEP_MS = 60_000;
const ORDERS: readonly ListOrder[] = ['key', 'commit_time', 'update_time'];

/** A volatile store: what it holds is gone with the process. Refuses what is over its limit; evicts nothing. */
export class MemoryBackend implements StorageBackend {
  readonly capabilities = { durable: false };
  private readonly budget: MemoryBudget;
  private readonly uploadsInProgress: Uploads<MemoryUploadRows, MemoryChange>;
  private readonly keys = new SerialByName();
  private readonly current = new Map<string, Revision>();
  private readonly older = new Map<string, Map<number, Revision>>();
  private readonly places = new Map(ORDERS.map((order) => [order, new SortedPlaces()]));
  private readonly rowsOf = new WeakMap<Manifest, RowBlocks>();
  private readonly sweeper: NodeJS.Timeout;
  private readonly retentionMs: number;
  private resultCount = 0;

  constructor(options: MemoryOptions) {
    this.budget = new MemoryBudget(options.max_memory_mb * 1024 * 1024);
    this.retentionMs = options.revision_retention_ms ?? REVISION_RETENTION_MS;
    this.uploadsInProgress = new Uploads(
      new MemoryUploads(this.budget, (manifest, rows) => this.rowsOf.set(manifest, rows)),
      {
        revisionOf: async (key) => committedRevision(this.current.get(key)?.manifest),
        publish: (manifest, expected, complete) => this.publish(manifest, expected, complete),
      },
      1,
      options.upload_ttl_ms ?? UPLOAD_MEMORY_MS,
    );
    this.sweeper = setInterval(() => void this.sweep().catch(() => undefined), SWEEP_MS).unref();
  }

  openUpload(spec: UploadSpec): Promise<Upload> {
    return this.uploadsInProgress.open(spec);
  }

  private publish(
    manifest: Manifest,
    expected: number | undefined,
    complete: (manifest: Manifest) => Promise<MemoryChange[]>,
  ): Promise<Manifest> {
    return this.keys.run(manifest.key, async () => {
      const before = this.current.get(manifest.key);
      checkRevision(manifest.key, expected, committedRevision(before?.manifest));
      manifest.revision = (before?.manifest.revision ?? 0n) + 1n;
      manifest.updateTime = timestampNow();
      for (const change of await complete(manifest)) change();
      if (before !== undefined) this.supersede(before, milliseconds(manifest.updateTime));
      const rows = this.rowsOf.get(manifest);
      this.current.set(manifest.key, { manifest, rows, readerCount: 0, supersededMs: undefined });
      if (manifest.kind === RevisionKind.COMMITTED) this.place(manifest, 1);
      return manifest;
    });
  }

  private supersede(before: Revision, nowMs: number): void {
    const { manifest } = before;
    if (manifest.kind !== RevisionKind.COMMITTED) return;
    this.place(manifest, -1);
    before.supersededMs = nowMs;
    const kept = this.older.get(manifest.key) ?? new Map<number, Revision>();
    this.older.set(manifest.key, kept.set(Number(manifest.revision), before));
  }

  private place(manifest: Manifest, sign: 1 | -1): void {
    this.resultCount += sign;
    for (const [order, places] of this.places) {
      const at = placeOf(manifest, order);
      if (sign === 1) places.add(at);
      else places.remove(at);
    }
  }

  uploads(query: { prefix: string; after?: string }): AsyncIterable<UploadState> {
    return this.uploadsInProgress.list(query);
  }

  async abortUpload(uploadId: string): Promise<void> {
    await this.uploadsInProgress.end(uploadId, UploadOutcome.ABORTED);
  }

  async stat(key: string, revision?: number): Promise<Manifest> {
    const current = this.current.get(key);
    if (current === undefined) throw resultNotFound(key);
    if (revision === undefined || BigInt(revision) === current.manifest.revision) return current.manifest;
    const older = this.older.get(key)?.get(revision);
    if (older === undefined) throw revisionNotFound(key, revision, current.manifest.revision);
    return older.manifest;
  }

  async *read(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncGenerator<Batch> {
    const { key, revision } = manifest;
    const current = this.current.get(key);
    const found = current?.manifest.revision === revision ? current : this.older.get(key)?.get(Number(revision));
    if (found?.rows === undefined) throw revisionGone(key, revision);
    const schema = schemaOf(manifest.problem?.variables ?? []);
    found.readerCount++;
    try {
      for (const block of found.rows.all()) {
        throwIfCancelled(signal);
        const batch = selectRows(schema, block, selection);
        if (batch !== undefined) yield batch;
      }
    } finally {
      found.readerCount--;
    }
  }

  async *list(query: ListQuery, signal: AbortSignal): AsyncGenerator<Manifest> {
    const places = this.places.get(query.orderBy) as SortedPlaces;
    const tags = Object.entries(query.tags);
    let at = places.next(query.after, query.descending);
    for (; at !== undefined; at = places.next(at, query.descending)) {
      throwIfCancelled(signal);
      const manifest = this.current.get(at.key)?.manifest;
      if (manifest === undefined || !manifest.key.startsWith(query.prefix)) continue;
      if (tags.every(([name, value]) => manifest.tags[name] === value)) yield manifest;
    }
  }

  async delete(key: string, expectedRevision: number | undefined): Promise<number> {
    const marker = create(ManifestSchema, { key, kind: RevisionKind.DELETED, uploadId: randomUUID() });
    const deleted = await this.publish(marker, expectedRevision, async () => {
      if (this.current.get(key)?.manifest.kind !== RevisionKind.COMMITTED) throw resultNotFound(key);
      return [];
    });
    return Number(deleted.revision);
  }

  stats(): Promise<BackendStats> {
    const { uploadCount } = this.uploadsInProgress.totals();
    return Promise.resolve({
      type: 'memory',
      failure: undefined,
      sizeBytes: this.budget.heldBytes,
      resultCount: this.resultCount,
      uploadCount,
    });
  }

  /** Removes revisions whose retention is over and nobody reads, and uploads that expired. */
  async sweep(nowMs = Date.now()): Promise<void> {
    await this.uploadsInProgress.expire(nowMs);
    for (const [key, kept] of this.older) {
      for (const [revision, { rows, readerCount, supersededMs = nowMs }] of kept) {
        if (readerCount > 0 || nowMs - supersededMs < this.retentionMs) continue;
        rows?.release();
        kept.delete(revision);
      }
      if (kept.size === 0) this.older.delete(key);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.sweeper);
    await this.uploadsInProgress.suspend();
  }
}

function placeOf(manifest: Manifest, order: ListOrder): ListPosition {
  const { key, commitTime, updateTime } = manifest;
  return { key, time: order === 'key' ? 0n : nanoseconds(order === 'commit_time' ? commitTime : updateTime) };
}
