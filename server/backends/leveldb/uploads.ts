import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
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
import { StorageError } from '../../errors.js';
import { OPEN_UPLOADS_MAX, UPLOAD_MEMORY_MS } from '../../limits.js';
import type { CommitSpec, Upload, UploadSpec, UploadState } from '../backend.js';
import { CommittedUpload, FencedUpload, revisionMismatch, rowCountMismatch } from './fenced-upload.js';
import type { Change } from './index-store.js';
import { milliseconds } from './index-store.js';
import type { Frame } from './journal.js';
import { recoverUpload } from './recovery.js';
import { SerialByName } from './serial.js';
import type { Places } from './upload-writer.js';
import { UploadWriter } from './upload-writer.js';

/** What an upload needs of the store's results. */
export interface Results {
  /** The newest revision of a key, markers included; 0 where there is none. */
  revisionOf(key: string): Promise<number>;
  /** Makes a manifest the newest revision, atomically with the changes that `complete` gives. */
  publish(
    manifest: Manifest,
    expected: number | undefined,
    complete: (manifest: Manifest) => Promise<Change[]>,
  ): Promise<Manifest>;
}

interface Entry {
  writer: UploadWriter;
  holder: FencedUpload | undefined;
}

/** The uploads of a store that are not committed. */
export class Uploads {
  private readonly entries = new Map<string, Entry>();
  private readonly ids = new SerialByName();

  constructor(
    private readonly places: Places,
    private nextNumber: number,
    private readonly ttlMs: number,
  ) {}

  /** Brings back the uploads that were open when the store was last used. */
  async recover(records: readonly UploadRecord[], frames: ReadonlyMap<number, Frame[]>): Promise<void> {
    for (const record of records) await this.bringBack(record, frames.get(record.number) ?? []);
  }

  private async bringBack(record: UploadRecord, frames: readonly Frame[], rowsMax?: number): Promise<Entry> {
    const { segmentName } = new UploadWriter(this.places, record);
    const { recovered, unneeded } = await recoverUpload(this.places.segments, segmentName, record, frames, rowsMax);
    this.places.journal.release(unneeded);
    const entry = { writer: new UploadWriter(this.places, record, recovered), holder: undefined };
    this.entries.set(record.uploadId, entry);
    return entry;
  }

  /** Opens or resumes an upload; whoever held it before is fenced. */
  open(spec: UploadSpec, results: Results): Promise<Upload> {
    return this.ids.run(spec.uploadId, async () => {
      const entry = this.entries.get(spec.uploadId);
      if (entry !== undefined) return this.resume(entry, spec, results);
      const record = await this.places.index.upload(spec.uploadId);
      if (record !== undefined) return reopenEnded(record, spec);
      return this.begin(spec, results);
    });
  }

  private async begin(spec: UploadSpec, results: Results): Promise<Upload> {
    if (spec.problem === undefined) {
      throw new StorageError(
        'UPLOAD_NOT_FOUND',
        `There is no upload ${spec.uploadId} to resume, and a new one needs a problem.`,
      );
    }
    if (this.entries.size >= OPEN_UPLOADS_MAX) {
      throw new StorageError(
        'TOO_MANY_UPLOADS',
        `${OPEN_UPLOADS_MAX} uploads are open. Commit or abort some; \`optistore uploads\` lists them.`,
      );
    }
    const revision = await results.revisionOf(spec.key);
    if (spec.expectedRevision !== undefined && spec.expectedRevision !== revision) {
      throw revisionMismatch(spec.key, spec.expectedRevision, revision);
    }
    const record = create(UploadRecordSchema, {
      uploadId: spec.uploadId,
      number: this.nextNumber++,
      key: spec.key,
      problem: spec.problem,
      tags: { ...spec.tags },
      description: spec.description,
      createTime: timestampNow(),
      ...(spec.attributes === undefined ? {} : { attributes: spec.attributes }),
      ...(spec.expectedRevision === undefined ? {} : { expectedRevision: BigInt(spec.expectedRevision) }),
    });
    const entry: Entry = { writer: new UploadWriter(this.places, record), holder: undefined };
    this.entries.set(spec.uploadId, entry);
    return this.hold(entry, spec.problem, results);
  }

  private async resume(entry: Entry, spec: UploadSpec, results: Results): Promise<Upload> {
    const { record } = entry.writer;
    checkSame(record, spec);
    entry.holder?.fence(
      new StorageError(
        'UPLOAD_TAKEN_OVER',
        `Upload ${spec.uploadId} was opened by another stream. Do not reconnect: one stream at a time saves an upload.`,
      ),
    );
    let current = entry;
    try {
      await entry.writer.sync();
    } catch {
      const { frames, durableRowCount } = await entry.writer.giveUp();
      current = await this.bringBack(record, frames, durableRowCount);
    }
    return this.hold(current, record.problem as Problem, results);
  }

  private hold(entry: Entry, problem: Problem, results: Results): FencedUpload {
    entry.holder = new FencedUpload(
      entry.writer,
      problem,
      (spec) => this.ids.run(entry.writer.record.uploadId, () => this.commit(entry, spec, results)),
      (handle) => this.release(entry, handle),
    );
    return entry.holder;
  }

  private async release(entry: Entry, handle: FencedUpload): Promise<void> {
    if (entry.holder !== handle) return;
    entry.holder = undefined;
    const { writer } = entry;
    await writer.sync().catch(() => undefined);
    // Of an upload without rows nobody was told anything: it need not be remembered.
    if (
      entry.holder === undefined &&
      writer.nextRow === 0 &&
      !writer.isPersisted &&
      this.entries.get(writer.record.uploadId) === entry
    ) {
      this.entries.delete(writer.record.uploadId);
    }
  }

  private async commit(entry: Entry, spec: CommitSpec, results: Results): Promise<Manifest> {
    const { writer } = entry;
    const { record } = writer;
    if (this.entries.get(record.uploadId) !== entry) {
      const committed = (await this.places.index.upload(record.uploadId))?.committed;
      if (committed !== undefined) return committed;
    }
    if (spec.rowCount !== writer.nextRow) throw rowCountMismatch(spec.rowCount, writer.nextRow);
    const manifest = create(ManifestSchema, {
      key: record.key,
      kind: RevisionKind.COMMITTED,
      tags: record.tags,
      description: record.description,
      rowCount: BigInt(spec.rowCount),
      commitTime: timestampNow(),
      uploadId: record.uploadId,
      outcome: spec.outcome,
      ...(record.problem === undefined ? {} : { problem: record.problem }),
      ...(record.attributes === undefined ? {} : { attributes: record.attributes }),
      ...(record.createTime === undefined ? {} : { createTime: record.createTime }),
    });
    const expected = record.expectedRevision === undefined ? undefined : Number(record.expectedRevision);
    const committed = await results.publish(manifest, expected, (whole) => this.complete(writer, whole));
    this.entries.delete(record.uploadId);
    await writer.close();
    return committed;
  }

  /** Brings the rows into their final form and says what the index has to take up with the manifest. */
  private async complete(writer: UploadWriter, manifest: Manifest): Promise<Change[]> {
    const { segment, image, columns } = await writer.finish();
    manifest.columns = columns;
    manifest.segments = segment === undefined ? [] : [segment];
    manifest.sizeBytes = segment?.sizeBytes ?? 0n;
    const { index } = this.places;
    const record = create(UploadRecordSchema, {
      uploadId: writer.record.uploadId,
      number: writer.record.number,
      key: manifest.key,
      outcome: UploadOutcome.COMMITTED,
      committed: manifest,
      updateTime: timestampNow(),
    });
    const inline = segment !== undefined && image !== undefined ? [index.putInline(segment.name, image)] : [];
    return [...index.putUpload(record), ...inline];
  }

  /** Ends an upload without a result and removes its rows. */
  end(uploadId: string, outcome: UploadOutcome.ABORTED | UploadOutcome.EXPIRED): Promise<void> {
    return this.ids.run(uploadId, async () => {
      const entry = this.entries.get(uploadId);
      if (entry === undefined) {
        const record = await this.places.index.upload(uploadId);
        if (record?.outcome === UploadOutcome.ABORTED) return;
        throw record === undefined ? unknownUpload(uploadId) : endedError(record);
      }
      const { writer } = entry;
      const record = create(UploadRecordSchema, {
        uploadId,
        number: writer.record.number,
        key: writer.record.key,
        outcome,
        updateTime: timestampNow(),
      });
      await this.places.index.write(this.places.index.putUpload(record));
      entry.holder?.fence(endedError(record));
      this.entries.delete(uploadId);
      const hadSegment = writer.hasSegment;
      await writer.close();
      if (hadSegment) await unlink(join(this.places.segments, writer.segmentName));
    });
  }

  /** Ends uploads whose time is over, and forgets those that ended long ago. */
  async expire(nowMs: number): Promise<void> {
    for (const [uploadId, { writer, holder }] of this.entries) {
      if (holder === undefined && nowMs - writer.updateTimeMs > this.ttlMs)
        await this.end(uploadId, UploadOutcome.EXPIRED);
    }
    for await (const record of this.places.index.uploads()) {
      const isOver = record.outcome === UploadOutcome.ABORTED || record.outcome === UploadOutcome.EXPIRED;
      if (isOver && nowMs - milliseconds(record.updateTime) > UPLOAD_MEMORY_MS) {
        await this.places.index.write([this.places.index.removeUpload(record.uploadId)]);
      }
    }
  }

  /** Uploads in order of id. */
  async *list(query: { prefix: string; after?: string }): AsyncGenerator<UploadState> {
    for (const uploadId of [...this.entries.keys()].sort()) {
      const entry = this.entries.get(uploadId);
      if (entry === undefined || (query.after !== undefined && uploadId <= query.after)) continue;
      const { writer, holder } = entry;
      if (!writer.record.key.startsWith(query.prefix)) continue;
      yield {
        uploadId,
        key: writer.record.key,
        durableRowCount: writer.durableRowCount,
        createTimeMs: milliseconds(writer.record.createTime),
        updateTimeMs: writer.updateTimeMs,
        expireTimeMs: holder === undefined ? writer.updateTimeMs + this.ttlMs : undefined,
        hasStream: holder !== undefined,
      };
    }
  }

  /** Bytes on disk and number of uploads. */
  totals(): { sizeBytes: number; uploadCount: number } {
    let sizeBytes = 0;
    for (const { writer } of this.entries.values()) sizeBytes += writer.sizeBytes;
    return { sizeBytes, uploadCount: this.entries.size };
  }

  /** Syncs all and closes the files; the uploads go on when the store is opened again. */
  async suspend(): Promise<void> {
    for (const { writer, holder } of this.entries.values()) {
      holder?.fence(new StorageError('SHUTTING_DOWN', 'The store is closing. Reconnect, and resume the upload.'));
      await writer.suspend();
    }
    this.entries.clear();
  }
}

function checkSame(record: Pick<UploadRecord, 'key' | 'uploadId' | 'problem'>, spec: UploadSpec): void {
  if (record.key !== spec.key) {
    throw new StorageError(
      'UPLOAD_CONFLICT',
      `Upload ${spec.uploadId} saves "${record.key}", not "${spec.key}". Use another upload id.`,
    );
  }
  const has = record.problem?.variables ?? [];
  const asked = spec.problem?.variables ?? has;
  const differs =
    asked.length !== has.length
      ? Math.min(asked.length, has.length)
      : asked.findIndex((variable, i) => {
          const other = has[i];
          return (
            variable.name !== other?.name || variable.valueType !== other.valueType || variable.role !== other.role
          );
        });
  if (differs >= 0) {
    throw new StorageError(
      'UPLOAD_CONFLICT',
      `Upload ${spec.uploadId} has another problem: variable ${differs} is "${has[differs]?.name ?? 'absent'}" there, "${asked[differs]?.name ?? 'absent'}" here. Resume with the same names, types and roles, or use another upload id.`,
    );
  }
}

function reopenEnded(record: UploadRecord, spec: UploadSpec): Upload {
  if (record.committed === undefined) throw endedError(record);
  const { problem } = record.committed;
  checkSame({ key: record.key, uploadId: record.uploadId, ...(problem === undefined ? {} : { problem }) }, spec);
  return new CommittedUpload(record.uploadId, problem as Problem, record.committed);
}

function endedError(record: UploadRecord): StorageError {
  switch (record.outcome) {
    case UploadOutcome.ABORTED:
      return new StorageError(
        'UPLOAD_ABORTED',
        `Upload ${record.uploadId} was aborted; its rows are gone. Start a new upload.`,
      );
    case UploadOutcome.EXPIRED:
      return new StorageError(
        'UPLOAD_EXPIRED',
        `Upload ${record.uploadId} expired; its rows are gone. Start a new upload, and raise upload_ttl if runs pause for longer.`,
      );
    case UploadOutcome.COMMITTED:
      return new StorageError(
        'UPLOAD_COMMITTED',
        `Upload ${record.uploadId} is committed. Delete the result "${record.key}" instead.`,
      );
    case UploadOutcome.UNSPECIFIED:
      return unknownUpload(record.uploadId);
    default:
      return record.outcome satisfies never;
  }
}

function unknownUpload(uploadId: string): StorageError {
  return new StorageError(
    'UPLOAD_NOT_FOUND',
    `There is no upload ${uploadId}. \`optistore uploads\` lists those in progress.`,
  );
}
