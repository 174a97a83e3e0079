import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind, UploadOutcome } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { StorageError, throwIfCancelled, unlessCorrupt, unlessDamaged } from '../../errors.js';
import { matches } from '../../filter/matches.js';
import { LOCAL_FILES_KEPT_MS, REVISION_RETENTION_MS, UPLOAD_MEMORY_MS } from '../../limits.js';
import type { Batch } from '../../rows/batch.js';
import type { Selection } from '../../rows/select.js';
import type {
  BackendStats,
  ListQuery,
  StorageBackend,
  Upload,
  UploadSpec,
  UploadState,
  UploadView,
} from '../backend.js';
import { Readers } from '../readers.js';
import { resultNotFound, revisionNotFound } from '../result-errors.js';
import { SerialByName } from '../serial.js';
import { milliseconds } from '../../times.js';
import { annotated, ChangeNumbers, deleted, movedOut, ownSegments } from '../revisions.js';
import { Copies, type ReadSource } from '../uploads/copies.js';
import type { Publication, ReadableResults, Results } from '../uploads/upload-store.js';
import { Uploads } from '../uploads/uploads.js';
import { Catalogue } from './catalogue.js';
import type { Change } from './index-entries.js';
import type { IndexStore } from './index-store.js';
import { IngestBudget } from '../uploads/ingest-budget.js';
import { makeFolders, syncFolder } from '../files.js';
import { FolderSync } from '../folder-sync.js';
import { framesByUpload, Journal } from './journal.js';
import { standingReport } from '../quarantine.js';
import { indexFiles, quarantineOf, reportLostJournal, sealStore, unsealStore } from './mend-index.js';
import { openIndex, type OpenedIndex } from './open-index.js';
import { countAll, LookThrough } from './look-through.js';
import { greatestNumber, type StandingFiles } from './segment-files.js';
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
 * batches, `segments/` has one append-only file an upload, `seal` says what there was when it was closed. Recovers by itself from any
 * crash; damaged files of the index are put into `quarantine/` and mended: see openIndex.
 * BACKEND_LOCKED where another process has it open; RESULT_CORRUPT where its index is lost.
 */
export async function openLeveldbBackend(options: LeveldbOptions): Promise<LeveldbBackend> {
  const path = resolve(options.path);
  const segments = join(path, 'segments');
  try {
    for (const name of ['segments', 'journal']) await makeFolders(join(path, name));
    // A process that was killed may have made some, and files in them.
    for (const folder of [path, segments]) await syncFolder(folder);
  } catch (error) {
    throw new StorageError('BACKEND_UNAVAILABLE', `The store's folder ${path} can't be made: ${String(error)}.`, {
      cause: error,
    });
  }
  const opened = await openIndex(path);
  try {
    return await LeveldbBackend.recover(options, opened, path, segments);
  } catch (error) {
    await opened.index[Symbol.asyncDispose]();
    throw error;
  }
}

/** The default primary: see openLeveldbBackend. */
export class LeveldbBackend implements StorageBackend {
  readonly capabilities = { durable: true, shared: false };
  private readonly keys = new SerialByName();
  private readonly readers = new Readers();
  private readonly reader: SegmentReader;
  private readonly uploadsInProgress: Uploads<UploadWriter, Change>;
  private readonly copies: Copies<UploadWriter, Change>;
  private readonly index: IndexStore;
  private sweeper: NodeJS.Timeout | undefined;
  private readonly catalogue: Catalogue;
  private lookThrough: LookThrough | undefined;

  private constructor(
    private readonly places: Places,
    uploads: LeveldbUploads,
    nextUploadNumber: number,
    private readonly changeNumber: ChangeNumbers,
    uploadTtlMs: number,
    private readonly retentionMs: number,
    private readonly path: string,
    /** What damage may have cost; undefined: nothing. */
    private readonly report: string | undefined,
  ) {
    this.index = places.index;
    this.catalogue = new Catalogue(places.index);
    this.reader = new SegmentReader(places.segments, places.index);
    const results: ReadableResults<Change> = {
      newest: (key) => places.index.newest(key),
      read: (manifest, selection, signal) => this.read(manifest, selection, signal),
      publish: (key, decide) => this.publish(key, decide),
    };
    const overDamaged: Results<Change> = {
      newest: (key) => unlessDamaged(places.index.newest(key)),
      publish: (key, decide) => this.publish(key, decide, overDamaged),
    };
    this.uploadsInProgress = new Uploads(uploads, results, nextUploadNumber, uploadTtlMs);
    this.copies = new Copies(uploads, results, this.uploadsInProgress, overDamaged);
  }

  static async recover(
    options: LeveldbOptions,
    { index, seal, wasMended }: OpenedIndex,
    path: string,
    segments: string,
  ): Promise<LeveldbBackend> {
    const records: UploadRecord[] = [];
    for await (const record of index.uploads('open')) {
      const changes = index.putUpload(record);
      if (record.outcome === UploadOutcome.UNSPECIFIED) records.push(record);
      // Version 0.1 kept ended uploads in the same place.
      else await index.write(changes);
    }
    const numbers = new Set(records.map((record) => record.number));
    let greatest = await greatestNumber(segments);
    const { journal, frames, marks, isLost } = await Journal.open(join(path, 'journal'), (frame) => {
      greatest = Math.max(greatest, frame.uploadNumber);
      return numbers.has(frame.uploadNumber);
    });
    if (isLost && records.length > 0) await reportLostJournal(path);
    const places = { index, journal, budget: new IngestBudget(), segments, segmentNames: new FolderSync(segments) };
    const uploads = new LeveldbUploads(places);
    const nextNumber = Math.max(await index.nextUploadNumber(), greatest + 1);
    const backend = new LeveldbBackend(
      places,
      uploads,
      nextNumber,
      new ChangeNumbers(await index.newestChange()),
      options.upload_ttl_ms ?? UPLOAD_MEMORY_MS,
      options.revision_retention_ms ?? REVISION_RETENTION_MS,
      path,
      await standingReport(quarantineOf(path)),
    );
    const framesOf = framesByUpload(frames);
    for (const record of records) {
      const { number } = record;
      const ackedRows = Math.max(marks.get(number) ?? 0, seal?.facts[`rows ${number}`] ?? 0);
      backend.uploadsInProgress.takeUp(await uploads.bringBack(record, framesOf.get(number) ?? [], { ackedRows }));
    }
    await backend.takeStock({ openNumbers: numbers, firstNewNumber: nextNumber }, wasMended);
    await unsealStore(path, index.hasFailed);
    backend.sweeper = setInterval(() => void backend.sweep().catch(() => undefined), SWEEP_MS).unref();
    return backend;
  }

  /** Counts what is there, or takes what the index says of it and looks through it later. */
  private async takeStock(standing: StandingFiles, wasMended: boolean): Promise<void> {
    const { catalogue, index, places } = this;
    const isDamaged = this.report !== undefined;
    const looked = { index, catalogue, segments: places.segments, standing, isDamaged };
    if (!wasMended && (await catalogue.begin())) this.lookThrough = new LookThrough(looked);
    else await countAll(looked, (manifest) => this.numberChange(manifest));
  }

  /** Stores of version 0.1 did not number their changes. */
  private numberChange(manifest: Manifest): Promise<void> {
    return this.changeNumber.write((number) =>
      this.index.write(this.index.replaceInPlace({ ...manifest, changeNumber: number }, manifest)),
    );
  }

  async openUpload(spec: UploadSpec): Promise<Upload> {
    return this.uploadsInProgress.open(spec);
  }

  private publish(
    key: string,
    decide: (before: Manifest | undefined) => Promise<Publication<Change> | undefined>,
    overDamaged?: Results<Change>,
  ): Promise<Manifest> {
    return this.keys.run(key, async () => {
      const before = await (overDamaged ?? this.index).newest(key);
      const next = await decide(before);
      if (next === undefined) return before as Manifest;
      const { manifest, changes } = next;
      const replaced = {
        before: before ?? (overDamaged && (await this.damagedBefore(manifest))),
        after: manifest,
      };
      await this.changeNumber.write(async (number) => {
        manifest.changeNumber = number;
        const replacing = [...this.index.replaceCurrent(manifest, before), ...changes];
        await this.index.write(replacing, this.catalogue.partOf(replaced));
      });
      this.catalogue.take(replaced);
      return manifest;
    });
  }

  /** What the entry of a manifest's key is counted as, where there is one that does not check. */
  private async damagedBefore(manifest: Manifest): Promise<Manifest | undefined> {
    return (await this.index.isDamaged(manifest.key)) ? this.catalogue.countedAs(manifest) : undefined;
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
    const current = await this.index.newest(key);
    if (current === undefined) throw resultNotFound(key);
    if (revision === undefined || BigInt(revision) === current.revision) return current;
    const older = await this.index.older(key, revision);
    if (older !== undefined) return older;
    throw revisionNotFound(key, revision, current.revision);
  }

  read(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncGenerator<Batch> {
    return this.readers.during(namesOf(manifest), this.reader.read(manifest, selection, signal));
  }

  locate(manifest: Manifest, selection: Selection, signal: AbortSignal) {
    if (manifest.segments.every(({ inline }) => inline)) return undefined;
    const places = this.reader.locate(manifest, selection, signal);
    return this.readers.during(namesOf(manifest), places, LOCAL_FILES_KEPT_MS);
  }

  async *list(query: ListQuery, signal: AbortSignal): AsyncGenerator<Manifest> {
    const keys = this.catalogue.facts.keys(query);
    for await (const manifest of keys === undefined ? this.index.list(query) : this.index.currentOf(keys)) {
      throwIfCancelled(signal);
      if (manifest.kind === RevisionKind.COMMITTED && matches(query.filter, manifest)) yield manifest;
    }
  }

  async *changes(query: { after: bigint; pending?: boolean }, signal: AbortSignal): AsyncGenerator<Manifest> {
    const { settled } = this.changeNumber;
    for await (const manifest of this.index.changes(query.after, query.pending === true)) {
      throwIfCancelled(signal);
      if (manifest.changeNumber > settled) return;
      yield manifest;
    }
  }

  changeNumbers(): Promise<{ floor: bigint; newest: bigint }> {
    return Promise.resolve({ floor: 0n, newest: this.changeNumber.settled });
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

  setReplication(key: string, revision: bigint, state: ReplicationState): Promise<void> {
    return this.keys.run(key, async () => {
      const before = await this.index.newest(key);
      if (before?.revision !== revision || before.replication === state) return;
      const next = { ...before, replication: state };
      await this.index.write(this.index.replaceInPlace(next, before));
      this.catalogue.take({ before, after: next });
    });
  }

  stats(): Promise<BackendStats> {
    const { sizeBytes, uploadCount } = this.uploadsInProgress.totals();
    const stored = this.catalogue.stats();
    return Promise.resolve({
      ...stored,
      type: 'leveldb',
      failure: this.failure(),
      sizeBytes: stored.sizeBytes + sizeBytes,
      uploadCount,
    });
  }

  private failure(): string | undefined {
    return this.places.journal.failed?.message ?? this.report ?? this.catalogue.failure();
  }

  /** Removes revisions whose retention is over and nobody reads, and uploads that expired; gives back room that is of no use. */
  async sweep(nowMs = Date.now(), retentionMs = this.retentionMs): Promise<void> {
    await this.uploadsInProgress.expire(nowMs);
    for await (const manifest of this.index.olderRevisions()) {
      if (manifest === undefined) continue;
      const isRead = namesOf(manifest).some((name) => this.readers.isRead(name));
      if (isRead || nowMs - milliseconds(manifest.supersededTime ?? manifest.updateTime) < retentionMs) continue;
      // It is kept where the key's newest can't be read: that may have its rows.
      await this.remove(manifest).catch(unlessCorrupt);
    }
    await this.places.journal.shrink();
    await this.index.compactRemoved();
  }

  /** Removes a superseded revision, and of its rows those that no other revision of the key has. */
  private remove(manifest: Manifest): Promise<void> {
    return this.keys.run(manifest.key, async () => {
      const others: Manifest[] = [];
      for await (const older of this.index.olderOf(manifest.key))
        if (older.revision !== manifest.revision) others.push(older);
      const current = await this.index.newest(manifest.key);
      const own = ownSegments(manifest, current === undefined ? others : [...others, current]);
      await this.index.write([
        this.index.removeOlder(manifest),
        ...own.filter(({ inline }) => inline).map(({ name }) => this.index.removeInline(name)),
      ]);
      // One that was lost, and healed from another store, is not there.
      for (const { inline, name } of own) if (!inline) await rm(join(this.places.segments, name), { force: true });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.sweeper);
    await this.lookThrough?.[Symbol.asyncDispose]();
    const { path, index, places } = this;
    const facts: Record<string, number> = {};
    await this.uploadsInProgress.suspend(({ record, durableRowCount }) => {
      facts[`rows ${record.number}`] = durableRowCount;
    });
    await places.journal[Symbol.asyncDispose]();
    await places.segmentNames[Symbol.asyncDispose]();
    await index[Symbol.asyncDispose]();
    if (index.hasFailed) return;
    await sealStore(path, { state: 'closed', files: await indexFiles(path), facts });
  }
}

function namesOf({ segments }: Manifest): string[] {
  return segments.map(({ name }) => name);
}
