import { randomUUID } from 'node:crypto';
import { mkdir, readdir, unlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ManifestSchema, RevisionKind, UploadOutcome } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { StorageError, throwIfCancelled, toStorageError } from '../../errors.js';
import { REVISION_RETENTION_MS, UPLOAD_MEMORY_MS } from '../../limits.js';
import type { Batch } from '../../rows/batch.js';
import type { Selection } from '../../rows/select.js';
import { schemaOf } from '../../rows/batch.js';
import type { BackendStats, ListQuery, StorageBackend, Upload, UploadSpec, UploadState } from '../backend.js';
import { resultNotFound, revisionNotFound } from '../result-errors.js';
import { SerialByName } from '../serial.js';
import { milliseconds } from '../times.js';
import { checkRevision, committedRevision } from '../uploads/upload-errors.js';
import type { Results } from '../uploads/upload-store.js';
import { Uploads } from '../uploads/uploads.js';
import type { Change } from './index-store.js';
import { IndexStore } from './index-store.js';
import { IngestBudget } from './ingest-budget.js';
import type { Frame } from './journal.js';
import { Journal } from './journal.js';
import { LeveldbUploads } from './leveldb-uploads.js';
import { SegmentReader } from './segment-reader.js';
import type { Places, UploadWriter } from './upload-writer.js';

/** How a leveldb store is opened. */
export interface LeveldbOptions {
  /** Its folder; made when absent. */
  readonly path: string;
  /** An upload without a stream expires this long after its last durable row. Default: 30 days. */
  readonly upload_ttl_ms?: number;
  /** A superseded or deleted revision can be read this long. Default: 10 minutes. */
  readonly revision_retention_ms?: number;
}

const SWEEP_MS = 60_000;

/**
 * Opens a store in a folder: `index/` is LevelDB (manifests, uploads, small results), `journal/` takes small
 * batches, `segments/` has one append-only file an upload. Recovers by itself from any crash.
 * BACKEND_LOCKED where another process has it open.
 */
export async function openLeveldbBackend(options: LeveldbOptions): Promise<LeveldbBackend> {
  const path = resolve(options.path);
  const segments = join(path, 'segments');
  try {
    await mkdir(segments, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new StorageError('BACKEND_UNAVAILABLE', `The store's folder ${path} can't be made: ${String(error)}.`, {
      cause: error,
    });
  }
  const { index, isNew } = await IndexStore.open(join(path, 'index'));
  try {
    if (isNew && (await readdir(segments)).length > 0) {
      throw new StorageError(
        'RESULT_CORRUPT',
        `The store at ${path} has row data but its index is empty. Nothing was changed: restore ${join(path, 'index')} from a backup.`,
      );
    }
    return await LeveldbBackend.recover(options, index, path, segments);
  } catch (error) {
    await index[Symbol.asyncDispose]();
    throw error;
  }
}

/** The default primary: see openLeveldbBackend. */
export class LeveldbBackend implements StorageBackend {
  readonly capabilities = { durable: true };
  private readonly keys = new SerialByName();
  private readonly reading = new Map<string, number>();
  private readonly reader: SegmentReader;
  private readonly uploadsInProgress: Uploads<UploadWriter, Change>;
  private readonly index: IndexStore;
  private sweeper: NodeJS.Timeout | undefined;
  private sizeBytes = 0;
  private resultCount = 0;

  private constructor(
    private readonly places: Places,
    uploads: LeveldbUploads,
    nextUploadNumber: number,
    uploadTtlMs: number,
    private readonly retentionMs: number,
  ) {
    this.index = places.index;
    this.reader = new SegmentReader(places.segments, places.index);
    const results: Results<Change> = {
      revisionOf: async (key) => committedRevision(await places.index.current(key)),
      publish: (manifest, expected, complete) => this.publish(manifest, expected, complete),
    };
    this.uploadsInProgress = new Uploads(uploads, results, nextUploadNumber, uploadTtlMs);
  }

  static async recover(
    options: LeveldbOptions,
    index: IndexStore,
    path: string,
    segments: string,
  ): Promise<LeveldbBackend> {
    const records: UploadRecord[] = [];
    for await (const record of index.uploads()) {
      if (record.outcome === UploadOutcome.UNSPECIFIED) records.push(record);
    }
    const numbers = new Set(records.map((record) => record.number));
    const { journal, frames } = await Journal.open(join(path, 'journal'), (frame) => numbers.has(frame.uploadNumber));
    const places = { index, journal, budget: new IngestBudget(), segments };
    const uploads = new LeveldbUploads(places);
    const backend = new LeveldbBackend(
      places,
      uploads,
      await index.nextUploadNumber(),
      options.upload_ttl_ms ?? UPLOAD_MEMORY_MS,
      options.revision_retention_ms ?? REVISION_RETENTION_MS,
    );
    const framesOf = framesByUpload(frames);
    for (const record of records)
      backend.uploadsInProgress.takeUp(await uploads.bringBack(record, framesOf.get(record.number) ?? []));
    await backend.countAndTidy(numbers);
    backend.sweeper = setInterval(() => void backend.sweep().catch(() => undefined), SWEEP_MS).unref();
    return backend;
  }

  /** Counts what is there, and removes files that no upload and no revision has: their deletion was cut off. */
  private async countAndTidy(openNumbers: ReadonlySet<number>): Promise<void> {
    const names = new Set<string>();
    for await (const manifest of this.index.list({ prefix: '', orderBy: 'key', descending: false })) {
      this.count(manifest, 1);
      for (const segment of manifest.segments) names.add(segment.name);
    }
    for await (const manifest of this.index.olderRevisions())
      for (const segment of manifest.segments) names.add(segment.name);
    for (const name of await readdir(this.places.segments)) {
      if (!names.has(name) && !openNumbers.has(Number.parseInt(name, 10)))
        await unlink(join(this.places.segments, name));
    }
  }

  private count(manifest: Manifest | undefined, sign: 1 | -1): void {
    if (manifest?.kind !== RevisionKind.COMMITTED) return;
    this.resultCount += sign;
    this.sizeBytes += sign * Number(manifest.sizeBytes);
  }

  async openUpload(spec: UploadSpec): Promise<Upload> {
    return this.uploadsInProgress.open(spec);
  }

  /** Makes a manifest its key's newest revision, together with other changes of the index. */
  private publish(
    manifest: Manifest,
    expected: number | undefined,
    complete: (manifest: Manifest) => Promise<Change[]>,
  ): Promise<Manifest> {
    return this.keys.run(manifest.key, async () => {
      const before = await this.index.current(manifest.key);
      checkRevision(manifest.key, expected, committedRevision(before));
      manifest.revision = (before?.revision ?? 0n) + 1n;
      manifest.updateTime = timestampNow();
      const changes = await complete(manifest);
      await this.index.write([...this.index.replaceCurrent(manifest, before), ...changes]);
      this.count(before, -1);
      this.count(manifest, 1);
      return manifest;
    });
  }

  uploads(query: { prefix: string; after?: string }): AsyncIterable<UploadState> {
    return this.uploadsInProgress.list(query);
  }

  async abortUpload(uploadId: string): Promise<void> {
    await this.uploadsInProgress.end(uploadId, UploadOutcome.ABORTED);
  }

  async stat(key: string, revision?: number): Promise<Manifest> {
    const current = await this.index.current(key);
    if (current === undefined) throw resultNotFound(key);
    if (revision === undefined || BigInt(revision) === current.revision) return current;
    const older = await this.index.older(key, revision);
    if (older !== undefined) return older;
    throw revisionNotFound(key, revision, current.revision);
  }

  async *read(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncGenerator<Batch> {
    const names = manifest.segments.map((segment) => segment.name);
    for (const name of names) this.reading.set(name, (this.reading.get(name) ?? 0) + 1);
    try {
      yield* this.reader.read(manifest, selection, schemaOf(manifest.problem?.variables ?? []), signal);
    } catch (error) {
      throw toStorageError(error);
    } finally {
      for (const name of names) {
        const readers = (this.reading.get(name) ?? 1) - 1;
        if (readers === 0) this.reading.delete(name);
        else this.reading.set(name, readers);
      }
    }
  }

  async *list(query: ListQuery, signal: AbortSignal): AsyncGenerator<Manifest> {
    const tags = Object.entries(query.tags);
    for await (const manifest of this.index.list(query)) {
      throwIfCancelled(signal);
      if (manifest.kind !== RevisionKind.COMMITTED) continue;
      if (tags.every(([name, value]) => manifest.tags[name] === value)) yield manifest;
    }
  }

  async delete(key: string, expectedRevision: number | undefined): Promise<number> {
    const marker = create(ManifestSchema, { key, kind: RevisionKind.DELETED, uploadId: randomUUID() });
    const deleted = await this.publish(marker, expectedRevision, async () => {
      if ((await this.index.current(key))?.kind !== RevisionKind.COMMITTED) throw resultNotFound(key);
      return [];
    });
    return Number(deleted.revision);
  }

  stats(): Promise<BackendStats> {
    const { sizeBytes, uploadCount } = this.uploadsInProgress.totals();
    return Promise.resolve({
      type: 'leveldb',
      failure: this.places.journal.failed?.message,
      sizeBytes: this.sizeBytes + sizeBytes,
      resultCount: this.resultCount,
      uploadCount,
    });
  }

  /** Removes revisions whose retention is over and nobody reads, and uploads that expired. */
  async sweep(nowMs = Date.now()): Promise<void> {
    await this.uploadsInProgress.expire(nowMs);
    for await (const manifest of this.index.olderRevisions()) {
      const isRead = manifest.segments.some((segment) => this.reading.has(segment.name));
      if (isRead || nowMs - milliseconds(manifest.updateTime) < this.retentionMs) continue;
      const inline = manifest.segments.filter((segment) => segment.inline);
      await this.index.write([
        this.index.removeOlder(manifest),
        ...inline.map((segment) => this.index.removeInline(segment.name)),
      ]);
      for (const segment of manifest.segments) {
        if (!segment.inline) await unlink(join(this.places.segments, segment.name));
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.sweeper);
    await this.uploadsInProgress.suspend();
    await this.places.journal[Symbol.asyncDispose]();
    await this.index[Symbol.asyncDispose]();
  }
}

function framesByUpload(frames: readonly Frame[]): Map<number, Frame[]> {
  const byUpload = new Map<number, Frame[]>();
  for (const frame of frames) {
    const own = byUpload.get(frame.uploadNumber);
    if (own === undefined) byUpload.set(frame.uploadNumber, [frame]);
    else own.push(frame);
  }
  return byUpload;
}
