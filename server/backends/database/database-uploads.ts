import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { UploadOutcome } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Problem } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { StorageError } from '../../errors.js';
import { OPEN_UPLOADS_MAX } from '../../limits.js';
import type { CommitSpec, Upload, UploadSpec } from '../backend.js';
import { IngestBudget } from '../uploads/ingest-budget.js';
import { follow } from '../revisions.js';
import { SerialByName } from '../serial.js';
import { CommittedUpload, FencedUpload } from '../uploads/fenced-upload.js';
import {
  checkRevision,
  checkSame,
  committedRevision,
  endedError,
  rowCountMismatch,
  storeCloses,
  takenOver,
  tooManyUploads,
} from '../uploads/upload-errors.js';
import { baseOf, committedRecord, manifestOf, newRecord } from '../uploads/uploads.js';
import type { Connection, Database } from './database.js';
import type { Results } from './results.js';
import { DatabaseRows } from './upload-rows.js';
import { changeUpload, findUnchecked, findUpload, HELD_MS, lostError, recordBytes, recordOf } from './upload-table.js';
import { uploadCrc, type Ended, type UploadRow } from './upload-table.js';

/** An upload that this process has a handle of. */
export interface HeldUpload {
  readonly rows: DatabaseRows;
  holder: FencedUpload | undefined;
}

/**
 * The uploads of a store: who holds them, and how they become results. What is true of one stands in the table of uploads, as
 * several daemons may share it; here is what this process holds.
 */
export class DatabaseUploads {
  readonly held = new Map<string, HeldUpload>();
  readonly ids = new SerialByName();
  private readonly budget = new IngestBudget();

  constructor(
    private readonly database: Database,
    private readonly results: Results,
  ) {}

  /** StorageBackend.openUpload. */
  open(spec: UploadSpec): Promise<Upload> {
    return this.ids.run(spec.uploadId, async () => {
      await this.letGo(spec);
      const begin = await this.beginning(spec);
      const taken = await this.database.transact(async (connection) => {
        const row = await findUpload(connection, spec.uploadId);
        return row === undefined ? this.begin(connection, spec, begin) : this.take(connection, spec, row);
      });
      if ('committed' in taken)
        return new CommittedUpload(spec.uploadId, taken.committed.problem as Problem, taken.committed);
      return this.hold(taken.record, taken.row);
    });
  }

  /** What this process received of the upload is synced or dropped before another handle goes on. */
  private async letGo(spec: UploadSpec): Promise<void> {
    const entry = this.held.get(spec.uploadId);
    if (entry === undefined) return;
    checkSame(entry.rows.record, spec);
    entry.holder?.fence(takenOver(spec.uploadId));
    await entry.rows.suspend();
    this.held.delete(spec.uploadId);
  }

  /** The record of the upload, should it be a new one; a StorageError where it can't be. */
  private async beginning(spec: UploadSpec): Promise<UploadRecord | StorageError> {
    try {
      const newest = await this.results.newest(spec.key);
      checkRevision(spec.key, spec.expectedRevision, committedRevision(newest));
      return newRecord(spec, spec.append ? baseOf(spec, newest) : undefined);
    } catch (error) {
      if (error instanceof StorageError && error.reason !== 'BACKEND_UNAVAILABLE') return error;
      throw error;
    }
  }

  private async begin(connection: Connection, spec: UploadSpec, record: UploadRecord | StorageError): Promise<Taken> {
    if (record instanceof StorageError) throw record;
    await this.checkCount(connection);
    const row = await insertUpload(connection, record, Number(record.base?.rowCount ?? 0));
    if (row === undefined) throw takenOver(spec.uploadId);
    return { record, row };
  }

  private async checkCount(connection: Connection): Promise<void> {
    const { count } = (await connection('uploads')
      .where({ outcome: 'OPEN' })
      .count({ count: '*' })
      .first()) as unknown as { count: number | string };
    if (Number(count) < OPEN_UPLOADS_MAX) return;
    throw tooManyUploads();
  }

  private async take(connection: Connection, spec: UploadSpec, row: UploadRow): Promise<Taken | Finished> {
    const record = recordOf(row);
    const { committed } = record;
    if (row.outcome === 'COMMITTED' && committed !== undefined) {
      const { problem } = committed;
      checkSame({ key: record.key, uploadId: record.uploadId, ...(problem && { problem }) }, spec);
      return { committed };
    }
    if (row.outcome !== 'OPEN') throw endedError(record);
    checkSame(record, spec);
    return { record, row: await takeUpload(connection, row) };
  }

  private async hold(record: UploadRecord, row: UploadRow): Promise<Upload> {
    const entry = await this.enter(record, row);
    entry.holder = new FencedUpload(
      entry.rows,
      record.problem as Problem,
      (spec) => this.ids.run(record.uploadId, () => this.commit(entry, spec)),
      (handle) => this.ids.run(record.uploadId, () => this.release(entry, handle)),
    );
    return entry.holder;
  }

  /** Takes an upload's rows up that this process has from now on. */
  async enter(record: UploadRecord, row: UploadRow): Promise<HeldUpload> {
    const { database, budget } = this;
    const failed = (error: StorageError) => entry.holder?.fence(error);
    const rows = await DatabaseRows.open({ database, budget, failed }, record, row);
    const entry: HeldUpload = { rows, holder: undefined };
    this.held.set(record.uploadId, entry);
    return entry;
  }

  private async release(entry: HeldUpload, handle: FencedUpload): Promise<void> {
    const { rows } = entry;
    const { uploadId } = rows.record;
    if (entry.holder !== handle || this.held.get(uploadId) !== entry) return;
    await rows.suspend();
    this.held.delete(uploadId);
    await this.leave(rows).catch(() => undefined);
  }

  /** Says that nobody holds it any more. Of an upload without rows nobody was told anything: it need not be remembered. */
  async leave(rows: DatabaseRows): Promise<void> {
    const { uploadId } = rows.record;
    await this.database.transact(async (connection) => {
      const row = await findUnchecked(connection, uploadId);
      if (row === undefined || lostError(uploadId, rows.epoch, row) !== undefined) return;
      if (Number(row.row_count) > 0)
        return void (await connection('uploads').where({ upload_id: uploadId }).update({ held_until_ms: 0 }));
      await connection('uploads').where({ upload_id: uploadId }).delete();
      await connection('segments')
        .where({ id: Number(row.segment_id) })
        .delete();
    });
  }

  private async commit(entry: HeldUpload, spec: CommitSpec): Promise<Manifest> {
    const { rows } = entry;
    const { record } = rows;
    // Also where the answer to the commit before was lost.
    const before = await this.committed(record.uploadId);
    if (before !== undefined) return before;
    if (spec.rowCount !== rows.nextRow) throw rowCountMismatch(spec.rowCount, rows.nextRow);
    await rows.finish();
    const committed = await this.publish(rows, manifestOf(record, spec));
    this.held.delete(record.uploadId);
    await rows.close();
    return committed;
  }

  private publish(rows: DatabaseRows, manifest: Manifest): Promise<Manifest> {
    const { record } = rows;
    const expected = record.base?.revision ?? record.expectedRevision;
    return this.results.publish(record.key, async (before, connection, changeNumber) => {
      const row = await rows.lock(connection);
      checkRevision(record.key, expected === undefined ? undefined : Number(expected), committedRevision(before));
      follow(manifest, before, record.replication);
      manifest.sizeBytes = record.base?.sizeBytes ?? 0n;
      manifest.segments = record.base?.segments ?? [];
      rows.describe(manifest);
      manifest.changeNumber = changeNumber;
      await endUpload(connection, row, committedRecord(record, manifest), 'COMMITTED');
      return { manifest, addedBytes: rows.sizeBytes };
    });
  }

  /** What an upload became; undefined where it is no result. */
  async committed(uploadId: string): Promise<Manifest | undefined> {
    const row = await this.database.query((connection) => findUpload(connection, uploadId));
    return row?.outcome === 'COMMITTED' ? recordOf(row).committed : undefined;
  }

  /** Says again which uploads have a stream here; handles whose upload another daemon took are fenced. */
  async renew(): Promise<void> {
    const ids = [...this.held.keys()];
    for (let i = 0; i < ids.length; i += RENEWED_AT_ONCE) {
      const some = ids.slice(i, i + RENEWED_AT_ONCE);
      const rows = await this.database.query((connection) =>
        connection('uploads').whereIn('upload_id', some).select<UploadRow[]>(),
      );
      const found = new Map(rows.map((row) => [row.upload_id, row]));
      const own = some.filter((id) => {
        const entry = this.held.get(id);
        const lost = entry && lostError(id, entry.rows.epoch, found.get(id));
        if (lost !== undefined) entry?.holder?.fence(lost);
        return entry !== undefined && lost === undefined;
      });
      await this.database.query((connection) =>
        connection('uploads')
          .whereIn('upload_id', own)
          .andWhere({ outcome: 'OPEN' })
          .update({ held_until_ms: Date.now() + HELD_MS }),
      );
    }
  }

  /** Syncs all and lets them go; the uploads go on when the store is opened again. */
  async suspend(): Promise<void> {
    for (const [uploadId, { rows, holder }] of this.held) {
      holder?.fence(storeCloses());
      await rows.suspend();
      await this.leave(rows).catch(() => undefined);
      this.held.delete(uploadId);
    }
  }
}

const RENEWED_AT_ONCE = 500;

/** An upload that takes rows, and its row under this process's epoch. */
interface Taken {
  readonly record: UploadRecord;
  readonly row: UploadRow;
}

/** An upload that is a result already. */
interface Finished {
  readonly committed: Manifest;
}

/** Makes the row of a new upload, held by this process; undefined where another process was quicker. */
export async function insertUpload(
  connection: Connection,
  record: UploadRecord,
  rowCount: number,
): Promise<UploadRow | undefined> {
  const [segment] = await connection('segments').insert({ removed: false }).returning<{ id: number }[]>('id');
  const nowMs = Date.now();
  const row = {
    ...{ upload_id: record.uploadId, key: record.key, outcome: 'OPEN' as const, is_copy: record.copyOf !== undefined },
    ...{ epoch: 1, segment_id: Number(segment?.id), row_count: rowCount, size_bytes: 0, checkpoint: null },
    ...{ create_time_ms: nowMs, update_time_ms: nowMs, held_until_ms: nowMs + HELD_MS, record: recordBytes(record) },
    created_by: record.createdBy,
  };
  const checked = { ...row, crc: uploadCrc(row) };
  const inserted = await connection('uploads').insert(checked).onConflict('upload_id').ignore().returning('upload_id');
  return inserted.length === 0 ? undefined : checked;
}

/** Makes an upload this process's: its epoch is raised, and who had it before is fenced. */
export async function takeUpload(connection: Connection, row: UploadRow): Promise<UploadRow> {
  return changeUpload(connection, row, { epoch: Number(row.epoch) + 1, held_until_ms: Date.now() + HELD_MS });
}

/** Writes what became of an upload. */
export async function endUpload(
  connection: Connection,
  row: UploadRow,
  record: UploadRecord,
  outcome: Ended,
): Promise<void> {
  record.outcome = UploadOutcome[outcome];
  const ended = {
    outcome,
    held_until_ms: 0,
    checkpoint: null,
    update_time_ms: Date.now(),
    record: recordBytes(record),
  };
  await changeUpload(connection, row, ended);
}
