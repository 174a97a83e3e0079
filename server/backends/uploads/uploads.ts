import { create } from '@bufbuild/protobuf';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import {
  ManifestSchema,
  RevisionKind,
  UploadOutcome,
  UploadRecordSchema,
} from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Problem } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { isCorrupt, StorageError } from '../../errors.js';
import { OPEN_UPLOADS_MAX, UPLOAD_MEMORY_MS } from '../../limits.js';
import type { CommitSpec, Upload, UploadSpec, UploadState, UploadView } from '../backend.js';
import { resultNotFound } from '../result-errors.js';
import { SerialByName } from '../serial.js';
import { compareKeys } from '../../text-order.js';
import { follow } from '../revisions.js';
import { milliseconds } from '../../times.js';
import { CommittedUpload, FencedUpload } from './fenced-upload.js';
import {
  checkRevision,
  checkSame,
  committedRevision,
  endedError,
  rowCountMismatch,
  storeCloses,
  takenOver,
  tooManyUploads,
  unknownUpload,
} from './upload-errors.js';
import type {
  CommitStore,
  Publication,
  ReadableResults,
  ReadableRows,
  UploadRows,
  UploadStore,
} from './upload-store.js';
import { endedView, openView, soFar } from './upload-view.js';

interface Entry<Rows> {
  rows: Rows;
  holder: FencedUpload | undefined;
}

/** The uploads of a store that are not committed: who holds them, how they end. Where the rows lie, the store knows. */
export class Uploads<Rows extends ReadableRows, Change> {
  private readonly entries = new Map<string, Entry<Rows>>();
  private readonly ids = new SerialByName();

  constructor(
    private readonly store: UploadStore<Rows, Change>,
    private readonly results: ReadableResults<Change>,
    private nextNumber: number,
    private readonly ttlMs: number,
  ) {}

  /** Takes an upload up that was open when the store was last used. */
  takeUp(rows: Rows): void {
    this.entries.set(rows.record.uploadId, { rows, holder: undefined });
  }

  /** Opens or resumes an upload; whoever held it before is fenced. */
  open(spec: UploadSpec): Promise<Upload> {
    return this.ids.run(spec.uploadId, async () => {
      const entry = this.entries.get(spec.uploadId);
      if (entry !== undefined) return this.resume(entry, spec);
      const record = await this.store.ended(spec.uploadId);
      if (record !== undefined) return reopenEnded(record, spec);
      return this.begin(spec);
    });
  }

  private async begin(spec: UploadSpec): Promise<Upload> {
    const newest = await this.results.newest(spec.key);
    checkRevision(spec.key, spec.expectedRevision, committedRevision(newest));
    // Behind the wait: of many that are opened at once none is counted too late.
    if (this.entries.size >= OPEN_UPLOADS_MAX) throw tooManyUploads();
    const record = newRecord(spec, spec.append ? baseOf(spec, newest) : undefined, this.nextNumber++);
    const entry: Entry<Rows> = { rows: this.store.begin(record), holder: undefined };
    this.entries.set(spec.uploadId, entry);
    return this.hold(entry, record.problem as Problem);
  }

  private async resume(entry: Entry<Rows>, spec: UploadSpec): Promise<Upload> {
    const { record } = entry.rows;
    checkSame(record, spec);
    if (entry.rows.damage !== undefined) throw entry.rows.damage;
    entry.holder?.fence(takenOver(spec.uploadId));
    let current = entry;
    try {
      await entry.rows.sync();
    } catch {
      current = { rows: await this.store.mend(entry.rows), holder: undefined };
      this.entries.set(spec.uploadId, current);
    }
    return this.hold(current, record.problem as Problem);
  }

  /** Rows of a copy that was begun before, or of a new one; nobody holds them but who copies. */
  async rowsOfCopy(uploadId: string, source: Manifest): Promise<Rows> {
    // What is damaged of a copy is copied again.
    if (this.entries.get(uploadId)?.rows.damage !== undefined) await this.end(uploadId, UploadOutcome.ABORTED);
    const begun = this.entries.get(uploadId);
    if (begun !== undefined) {
      try {
        await begun.rows.sync();
        return begun.rows;
      } catch {
        begun.rows = await this.store.mend(begun.rows);
        return begun.rows;
      }
    }
    const record = newCopyRecord(uploadId, source, this.nextNumber++);
    const rows = this.store.begin(record);
    this.entries.set(uploadId, { rows, holder: undefined });
    return rows;
  }

  /** Ends a copy whose rows belong to a result now. */
  async copied(uploadId: string): Promise<void> {
    const entry = this.entries.get(uploadId);
    this.entries.delete(uploadId);
    await entry?.rows.close();
  }

  /** Makes durable what has come of a copy that was cut off. */
  async cutOff(uploadId: string): Promise<void> {
    // Where that fails, the next one goes on from what is.
    await this.entries
      .get(uploadId)
      ?.rows.sync()
      .catch(() => undefined);
  }

  private hold(entry: Entry<Rows>, problem: Problem): FencedUpload {
    entry.holder = new FencedUpload(
      entry.rows,
      problem,
      (spec) => this.ids.run(entry.rows.record.uploadId, () => this.commit(entry, spec)),
      (handle) => this.release(entry, handle),
    );
    return entry.holder;
  }

  private async release(entry: Entry<Rows>, handle: FencedUpload): Promise<void> {
    if (entry.holder !== handle) return;
    entry.holder = undefined;
    const { rows } = entry;
    await rows.sync().catch(() => undefined);
    // Of an upload without rows nobody was told anything: it need not be remembered.
    if (
      entry.holder === undefined &&
      rows.nextRow === 0 &&
      !rows.isPersisted &&
      this.entries.get(rows.record.uploadId) === entry
    ) {
      this.entries.delete(rows.record.uploadId);
    }
  }

  private async commit(entry: Entry<Rows>, spec: CommitSpec): Promise<Manifest> {
    const { rows } = entry;
    const { record } = rows;
    if (this.entries.get(record.uploadId) !== entry) {
      const committed = (await this.store.ended(record.uploadId))?.committed;
      if (committed !== undefined) return committed;
    }
    if (spec.rowCount !== rows.nextRow) throw rowCountMismatch(spec.rowCount, rows.nextRow);
    const committed = await this.results.publish(record.key, (before) => publicationOf(this.store, rows, spec, before));
    this.entries.delete(record.uploadId);
    await rows.close();
    return committed;
  }

  /** Ends an upload without a result and removes its rows. */
  end(uploadId: string, outcome: UploadOutcome.ABORTED | UploadOutcome.EXPIRED): Promise<void> {
    return this.ids.run(uploadId, async () => {
      const entry = this.entries.get(uploadId);
      const { number, key } = entry?.rows.record ?? { number: 0, key: '' };
      const record = create(UploadRecordSchema, { uploadId, number, key, outcome, updateTime: timestampNow() });
      if (entry === undefined) return this.endUnknown(record);
      // Whoever still sends is stopped first; a store that can't remember the end leaves the upload as it is.
      entry.holder?.fence(endedError(record));
      await this.store.end(entry.rows, record);
      this.entries.delete(uploadId);
    });
  }

  private async endUnknown(end: UploadRecord): Promise<void> {
    let record: UploadRecord | undefined;
    try {
      record = await this.store.ended(end.uploadId);
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      return this.store.endDamaged(end);
    }
    if (record?.outcome === UploadOutcome.ABORTED) return;
    throw record === undefined ? unknownUpload(end.uploadId) : endedError(record);
  }

  /** Ends uploads whose time is over, and forgets those that ended long ago. */
  async expire(nowMs: number): Promise<void> {
    for (const [uploadId, { rows, holder }] of this.entries) {
      if (holder === undefined && nowMs - rows.updateTimeMs > this.ttlMs)
        await this.end(uploadId, UploadOutcome.EXPIRED);
    }
    await this.store.forget(nowMs - UPLOAD_MEMORY_MS);
  }

  /** Uploads in order of id. */
  async *list(query: { prefix: string; after?: string }): AsyncGenerator<UploadState> {
    for (const uploadId of [...this.entries.keys()].sort()) {
      const entry = this.entries.get(uploadId);
      if (entry === undefined || (query.after !== undefined && uploadId <= query.after)) continue;
      const { rows, holder } = entry;
      if (!rows.record.key.startsWith(query.prefix) || rows.record.copyOf !== undefined) continue;
      yield {
        uploadId,
        key: rows.record.key,
        durableRowCount: rows.durableRowCount,
        createTimeMs: milliseconds(rows.record.createTime),
        updateTimeMs: rows.updateTimeMs,
        expireTimeMs: holder === undefined ? rows.updateTimeMs + this.ttlMs : undefined,
        hasStream: holder !== undefined,
        createdBy: rows.record.createdBy,
      };
    }
  }

  /** StorageBackend.viewUpload. */
  async view(uploadId: string): Promise<UploadView> {
    const rows = this.entries.get(uploadId)?.rows;
    if (rows === undefined) return endedView(uploadId, await this.store.ended(uploadId));
    if (rows.record.copyOf !== undefined) throw unknownUpload(uploadId);
    if (rows.damage !== undefined) throw rows.damage;
    const manifest = manifestOf(rows.record, soFar(rows.durableRowCount));
    return openView(manifest, rows.record.base, {
      base: (manifest, selection, signal) => this.results.read(manifest, selection, signal),
      own: (selection, signal) => rows.read(selection, signal),
    });
  }

  /** Bytes on disk and number of uploads. */
  totals(): { sizeBytes: number; uploadCount: number } {
    let sizeBytes = 0;
    let uploadCount = 0;
    for (const { rows } of this.entries.values()) {
      sizeBytes += rows.sizeBytes;
      if (rows.record.copyOf === undefined) uploadCount++;
    }
    return { sizeBytes, uploadCount };
  }

  /** Syncs all and closes the files; the uploads go on when the store is opened again. `each`: is told of those that do. */
  async suspend(each: (rows: Rows) => void = () => undefined): Promise<void> {
    for (const { rows, holder } of this.entries.values()) {
      holder?.fence(storeCloses());
      await rows.suspend();
      if (rows.isPersisted) each(rows);
    }
    this.entries.clear();
  }
}

/** The revision that an upload appends to. RESULT_NOT_FOUND, UPLOAD_CONFLICT where the problem is another. */
export function baseOf(spec: UploadSpec, newest: Manifest | undefined): Manifest {
  if (newest?.kind !== RevisionKind.COMMITTED) throw resultNotFound(spec.key);
  const { problem } = newest;
  checkSame({ key: spec.key, uploadId: spec.uploadId, ...(problem === undefined ? {} : { problem }) }, spec);
  return newest;
}

/** The record of a new upload that extends `base`, where there is one. UPLOAD_NOT_FOUND where it has no problem. */
export function newRecord(spec: UploadSpec, base: Manifest | undefined, number = 0): UploadRecord {
  const problem = base?.problem ?? spec.problem;
  if (problem === undefined) {
    throw new StorageError(
      'UPLOAD_NOT_FOUND',
      `There is no upload ${spec.uploadId} to resume, and a new one needs a problem.`,
    );
  }
  return create(UploadRecordSchema, {
    ...{ uploadId: spec.uploadId, number, key: spec.key, problem, tags: { ...spec.tags } },
    ...{ description: spec.description, replication: spec.replication, createTime: timestampNow() },
    createdBy: spec.createdBy,
    ...(spec.attributes === undefined ? {} : { attributes: spec.attributes }),
    ...(spec.expectedRevision === undefined ? {} : { expectedRevision: BigInt(spec.expectedRevision) }),
    ...(base && { base }),
  });
}

/** The record of a copy that is begun. */
export function newCopyRecord(uploadId: string, source: Manifest, number = 0): UploadRecord {
  return create(UploadRecordSchema, {
    ...{ uploadId, number, key: source.key, copyOf: source, createTime: timestampNow() },
    ...(source.problem && { problem: source.problem }),
  });
}

/** What an upload's commit makes of a key's newest revision. REVISION_MISMATCH. */
export async function publicationOf<Rows extends UploadRows, Change>(
  store: CommitStore<Rows, Change>,
  rows: Rows,
  spec: CommitSpec,
  before: Manifest | undefined,
): Promise<Publication<Change>> {
  const { record } = rows;
  const expected = record.base?.revision ?? record.expectedRevision;
  checkRevision(record.key, expected === undefined ? undefined : Number(expected), committedRevision(before));
  // The base as it is now: its rows may have been repaired since the upload was opened.
  const manifest = manifestOf({ ...record, ...(record.base && before && { base: before }) }, spec);
  follow(manifest, before, record.replication);
  const changes = await store.complete(rows, manifest);
  return { manifest, changes: [...changes, ...store.remember(committedRecord(record, manifest))] };
}

/** What an upload makes, but for its rows and its revision. */
export function manifestOf(record: UploadRecord, spec: CommitSpec): Manifest {
  const { base } = record;
  const attributes = record.attributes ?? base?.attributes;
  const createTime = base?.createTime ?? record.createTime;
  return create(ManifestSchema, {
    key: record.key,
    kind: RevisionKind.COMMITTED,
    tags: { ...base?.tags, ...record.tags },
    description: record.description === '' ? (base?.description ?? '') : record.description,
    rowCount: BigInt(spec.rowCount),
    ...{ uploadId: record.uploadId, createdBy: record.createdBy },
    outcome: spec.outcome,
    segments: base?.segments ?? [],
    sizeBytes: base?.sizeBytes ?? 0n,
    resultSets: [
      ...(base?.resultSets ?? []).filter(({ name }) => !spec.resultSets.some((set) => set.name === name)),
      ...spec.resultSets,
    ].sort((a, b) => compareKeys(a.name, b.name)),
    ...(record.problem && { problem: record.problem }),
    ...(attributes && { attributes }),
    ...(createTime && { createTime }),
  });
}

/** What is remembered of an upload that is a result. */
export function committedRecord(record: Pick<UploadRecord, 'uploadId' | 'number'>, committed: Manifest): UploadRecord {
  return create(UploadRecordSchema, {
    ...{ uploadId: record.uploadId, number: record.number, key: committed.key, committed },
    outcome: UploadOutcome.COMMITTED,
    updateTime: timestampNow(),
  });
}

/** A handle of an upload that is a result already; a StorageError for one that ended otherwise. */
export function reopenEnded(record: UploadRecord, spec: UploadSpec): Upload {
  if (record.committed === undefined) throw endedError(record);
  const { problem } = record.committed;
  checkSame({ key: record.key, uploadId: record.uploadId, ...(problem === undefined ? {} : { problem }) }, spec);
  return new CommittedUpload(record.uploadId, problem as Problem, record.committed);
}
