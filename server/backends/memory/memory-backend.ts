import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind, UploadOutcome } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { throwIfCancelled } from '../../errors.js';
import { matches } from '../../filter/matches.js';
import { REVISION_RETENTION_MS, UPLOAD_MEMORY_MS } from '../../limits.js';
import type { Batch } from '../../rows/batch.js';
import { schemaOf } from '../../rows/batch.js';
import { selectRows, type Selection } from '../../rows/select.js';
import type {
  BackendStats,
  ListOrder,
  ListPosition,
  ListQuery,
  StorageBackend,
  Upload,
  UploadSpec,
  UploadState,
  UploadView,
} from '../backend.js';
import { resultNotFound, revisionGone, revisionNotFound } from '../result-errors.js';
import { annotated, deleted, movedOut, ownSegments } from '../revisions.js';
import { SerialByName } from '../serial.js';
import { milliseconds, nanoseconds } from '../../times.js';
import { Copies, type ReadSource } from '../uploads/copies.js';
import type { Publication, ReadableResults } from '../uploads/upload-store.js';
import { Uploads } from '../uploads/uploads.js';
import { MemoryBudget } from './memory-budget.js';
import type { MemoryChange, MemoryUploadRows } from './memory-uploads.js';
import { MemoryUploads } from './memory-uploads.js';
import type { RowBlocks } from './row-blocks.js';
import { SortedPlaces } from '../index/sorted-places.js';

/** How a memory store is made. */
export interface MemoryOptions {
  /** What its rows may take, in MiB; rows beyond are refused with MEMORY_LIMIT. */
  readonly max_memory_mb: number;
  /** An upload without a stream expires this long after its last row. Default: 30 days. */
  readonly upload_ttl_ms?: number;
  /** A superseded or deleted revision can be read this long. Default: 10 minutes. */
  readonly revision_retention_ms?: number;
}

/** A superseded revision, and since when it is. */
interface Superseded {
  readonly manifest: Manifest;
  readonly sinceMs: number;
}

const SWEEP_MS = 60_000;
const ORDERS: readonly ListOrder[] = ['key', 'commit_time', 'update_time'];

/** A volatile store: what it holds is gone with the process. Refuses what is over its limit; evicts nothing. */
export class MemoryBackend implements StorageBackend {
  readonly capabilities = { durable: false, shared: false };
  private readonly budget: MemoryBudget;
  private readonly uploadsInProgress: Uploads<MemoryUploadRows, MemoryChange>;
  private readonly copies: Copies<MemoryUploadRows, MemoryChange>;
  private readonly keys = new SerialByName();
  private readonly current = new Map<string, Manifest>();
  private readonly older = new Map<string, Map<number, Superseded>>();
  private readonly segments = new Map<string, RowBlocks>();
  private readonly readers = new Map<string, number>();
  private readonly places = new Map(ORDERS.map((order) => [order, new SortedPlaces()]));
  private readonly changePlaces = new SortedPlaces();
  private readonly sweeper: NodeJS.Timeout;
  private readonly retentionMs: number;
  /** Numbers go on from the time of the start, so that one of an earlier process is known to be too old. */
  private readonly floor = BigInt(Date.now()) * 1000n;
  private newestChange = this.floor;
  private resultCount = 0;

  constructor(options: MemoryOptions) {
    this.budget = new MemoryBudget(options.max_memory_mb * 1024 * 1024);
    this.retentionMs = options.revision_retention_ms ?? REVISION_RETENTION_MS;
    const uploads = new MemoryUploads(this.budget, this.segments);
    const results: ReadableResults<MemoryChange> = {
      newest: async (key) => this.current.get(key),
      read: (manifest, selection, signal) => this.read(manifest, selection, signal),
      publish: (key, decide) => this.publish(key, decide),
    };
    this.uploadsInProgress = new Uploads(uploads, results, 1, options.upload_ttl_ms ?? UPLOAD_MEMORY_MS);
    this.copies = new Copies(uploads, results, this.uploadsInProgress);
    this.sweeper = setInterval(() => void this.sweep().catch(() => undefined), SWEEP_MS).unref();
  }

  openUpload(spec: UploadSpec): Promise<Upload> {
    return this.uploadsInProgress.open(spec);
  }

  private publish(
    key: string,
    decide: (before: Manifest | undefined) => Promise<Publication<MemoryChange> | undefined>,
  ): Promise<Manifest> {
    return this.keys.run(key, async () => {
      const before = this.current.get(key);
      const next = await decide(before);
      if (next === undefined) return before as Manifest;
      const { manifest } = next;
      manifest.changeNumber = ++this.newestChange;
      for (const change of next.changes) change();
      if (before !== undefined) this.supersede(before);
      this.current.set(key, manifest);
      this.changePlaces.add({ key, time: manifest.changeNumber });
      if (manifest.kind === RevisionKind.COMMITTED) this.place(manifest, 1);
      return manifest;
    });
  }

  private supersede(before: Manifest): void {
    this.changePlaces.remove({ key: before.key, time: before.changeNumber });
    if (before.kind !== RevisionKind.COMMITTED) return;
    this.place(before, -1);
    const kept = this.older.get(before.key) ?? new Map<number, Superseded>();
    this.older.set(before.key, kept.set(Number(before.revision), { manifest: before, sinceMs: Date.now() }));
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

  viewUpload(uploadId: string): Promise<UploadView> {
    return this.uploadsInProgress.view(uploadId);
  }

  async abortUpload(uploadId: string): Promise<void> {
    await this.uploadsInProgress.end(uploadId, UploadOutcome.ABORTED);
  }

  async stat(key: string, revision?: number): Promise<Manifest> {
    const current = this.current.get(key);
    if (current === undefined) throw resultNotFound(key);
    if (revision === undefined || BigInt(revision) === current.revision) return current;
    const older = this.older.get(key)?.get(revision);
    if (older === undefined) throw revisionNotFound(key, revision, current.revision);
    return older.manifest;
  }

  async *read(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncGenerator<Batch> {
    const schema = schemaOf(manifest.problem?.variables ?? []);
    const names = manifest.segments.map(({ name }) => name);
    const segments = names.map((name) => this.segments.get(name));
    for (const name of names) this.readers.set(name, (this.readers.get(name) ?? 0) + 1);
    try {
      for (const rows of segments) {
        if (rows === undefined) throw revisionGone(manifest.key, manifest.revision);
        for (const block of rows.all()) {
          throwIfCancelled(signal);
          const batch = selectRows(schema, block, selection);
          if (batch !== undefined) yield batch;
        }
      }
    } finally {
      for (const name of names) {
        const readerCount = (this.readers.get(name) ?? 1) - 1;
        if (readerCount === 0) this.readers.delete(name);
        else this.readers.set(name, readerCount);
      }
    }
  }

  /** Nothing of it lies in files that others can read. */
  locate(): undefined {
    return undefined;
  }

  async *list(query: ListQuery, signal: AbortSignal): AsyncGenerator<Manifest> {
    const places = this.places.get(query.orderBy) as SortedPlaces;
    let at = places.next(query.after, query.descending);
    for (; at !== undefined; at = places.next(at, query.descending)) {
      throwIfCancelled(signal);
      const manifest = this.current.get(at.key);
      if (manifest?.key.startsWith(query.prefix) === true && matches(query.filter, manifest)) yield manifest;
    }
  }

  async *changes(query: { after: bigint; pending?: boolean }, signal: AbortSignal): AsyncGenerator<Manifest> {
    // Behind every key of that number.
    let at = this.changePlaces.next({ key: '\u{10ffff}', time: query.after }, false);
    for (; at !== undefined; at = this.changePlaces.next(at, false)) {
      throwIfCancelled(signal);
      const manifest = this.current.get(at.key);
      if (manifest === undefined) continue;
      if (query.pending !== true || manifest.replication === ReplicationState.PENDING) yield manifest;
    }
  }

  changeNumbers(): Promise<{ floor: bigint; newest: bigint }> {
    return Promise.resolve({ floor: this.floor, newest: this.newestChange });
  }

  annotate(key: string, expectedRevision: number | undefined, edit: (manifest: Manifest) => void): Promise<Manifest> {
    return this.publish(key, async (before) => ({
      manifest: annotated(key, before, expectedRevision, edit),
      changes: [],
    }));
  }

  async delete(key: string, expectedRevision: number | undefined): Promise<number> {
    const marker = await this.publish(key, async (before) => ({
      manifest: deleted(key, before, expectedRevision),
      changes: [],
    }));
    return Number(marker.revision);
  }

  async moveOut(key: string, revision: number): Promise<void> {
    await this.publish(key, async (before) => {
      const manifest = movedOut(key, before, revision);
      return manifest && { manifest, changes: [] };
    });
  }

  copyIn(manifest: Manifest, read: ReadSource, options: { replace: boolean }, signal: AbortSignal): Promise<Manifest> {
    return this.copies.copyIn(manifest, read, options.replace, signal);
  }

  async setReplication(key: string, revision: bigint, state: ReplicationState): Promise<void> {
    const current = this.current.get(key);
    // Who was given the manifest has it as it was.
    if (current?.revision === revision) this.current.set(key, { ...current, replication: state });
  }

  async stats(signal: AbortSignal = new AbortController().signal): Promise<BackendStats> {
    const { uploadCount } = this.uploadsInProgress.totals();
    let pendingCount = 0;
    let oldestPendingMs: number | undefined;
    for await (const { updateTime } of this.changes({ after: 0n, pending: true }, signal)) {
      pendingCount++;
      oldestPendingMs ??= milliseconds(updateTime);
    }
    const { resultCount } = this;
    const sizeBytes = this.budget.heldBytes;
    return { type: 'memory', failure: undefined, sizeBytes, resultCount, uploadCount, pendingCount, oldestPendingMs };
  }

  /** Removes revisions whose retention is over and nobody reads, and uploads that expired. */
  async sweep(nowMs = Date.now()): Promise<void> {
    await this.uploadsInProgress.expire(nowMs);
    for (const [key, kept] of this.older) {
      for (const [revision, { manifest, sinceMs }] of kept) {
        const isRead = manifest.segments.some(({ name }) => this.readers.has(name));
        if (isRead || nowMs - sinceMs < this.retentionMs) continue;
        kept.delete(revision);
        const others = [...kept.values()].map((other) => other.manifest);
        const current = this.current.get(key);
        for (const { name } of ownSegments(manifest, current === undefined ? others : [...others, current])) {
          this.segments.get(name)?.release();
          this.segments.delete(name);
        }
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
