import type { UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { UploadOutcome, UploadRecordSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageError } from '../../errors.js';
import { decode } from '../../messages/decode.js';
import { encode } from '../../messages/encode.js';
import { endedError, takenOver, unknownUpload, uploadDamaged } from '../uploads/upload-errors.js';
import type { Connection } from './database.js';
import { rowCrc } from './row-crc.js';

/** A handle that is not renewed for this long is no longer there: its daemon was killed. */
export const HELD_MS = 60_000;

/** What became of an upload, as the table says it; OPEN takes rows. */
export type Ended = 'COMMITTED' | 'ABORTED' | 'EXPIRED';

/** A row of the table of uploads. */
export interface UploadRow {
  readonly upload_id: string;
  readonly key: string;
  readonly outcome: 'OPEN' | Ended;
  readonly is_copy: boolean | number;
  /** Raised by each that takes the upload: writes of an earlier one are refused. */
  readonly epoch: number | string;
  readonly segment_id: number | string;
  /** Rows that are durable. */
  readonly row_count: number | string;
  readonly size_bytes: number | string;
  readonly create_time_ms: number | string;
  readonly update_time_ms: number | string;
  /** Until then a daemon has a stream open for it, unless it says so again. */
  readonly held_until_ms: number | string;
  readonly created_by: string;
  readonly checkpoint: Uint8Array | null;
  readonly record: Uint8Array;
  readonly crc: number | string;
}

/** All that an upload's checksum is over: not until when it is held, which is said again and again. */
export const UPLOAD_COLUMNS = [
  ...['upload_id', 'key', 'outcome', 'is_copy', 'epoch', 'segment_id', 'row_count', 'size_bytes'],
  ...['create_time_ms', 'update_time_ms', 'created_by', 'checkpoint', 'record'],
] as (keyof Omit<UploadRow, 'crc' | 'held_until_ms'>)[];

/** The checksum of a row. */
export function uploadCrc(row: Omit<UploadRow, 'crc' | 'held_until_ms'>): number {
  return rowCrc(UPLOAD_COLUMNS.map((name) => (name === 'is_copy' ? Boolean(row.is_copy) : row[name])));
}

/** Whether a row is as it was written. */
export function uploadChecks(row: UploadRow): boolean {
  return uploadCrc(row) === Number(row.crc);
}

/** A row, or the error for one that is not as it was written: RESULT_CORRUPT. */
export function checkedUpload(row: UploadRow | undefined): UploadRow | undefined {
  if (row !== undefined && !uploadChecks(row)) throw uploadDamaged(row.upload_id);
  return row;
}

/** Finds an upload; locked until the transaction ends. RESULT_CORRUPT. */
export async function findUpload(connection: Connection, uploadId: string): Promise<UploadRow | undefined> {
  return checkedUpload(await findUnchecked(connection, uploadId));
}

/** The same, for who ends it: also one that does not check. */
export async function findUnchecked(connection: Connection, uploadId: string): Promise<UploadRow | undefined> {
  const row: unknown = await connection('uploads').where({ upload_id: uploadId }).forUpdate().first();
  return row as UploadRow | undefined;
}

/** Changes a row, which is locked; gives it as it is now. */
export async function changeUpload(
  connection: Connection,
  row: UploadRow,
  changes: Partial<Omit<UploadRow, 'upload_id' | 'crc'>>,
): Promise<UploadRow> {
  const next = { ...row, ...changes };
  const crc = uploadCrc(next);
  await connection('uploads')
    .where({ upload_id: row.upload_id })
    .update({ ...changes, crc });
  return { ...next, crc };
}

/** The record that a row has. */
export function recordOf({ record }: Pick<UploadRow, 'record'>): UploadRecord {
  return decode(UploadRecordSchema, record);
}

/** A record as it is kept. */
export function recordBytes(record: UploadRecord): Buffer {
  return encode(UploadRecordSchema, record);
}

/** Remembers what became of an upload: its row, whichever it had before. */
export async function rememberEnded(connection: Connection, record: UploadRecord): Promise<void> {
  const nowMs = Date.now();
  const row = {
    ...{ upload_id: record.uploadId, key: record.key, outcome: UploadOutcome[record.outcome] as Ended, is_copy: false },
    ...{ epoch: 0, segment_id: 0, row_count: 0, size_bytes: 0, held_until_ms: 0, checkpoint: null },
    created_by: record.createdBy,
    ...{ create_time_ms: nowMs, update_time_ms: nowMs, record: recordBytes(record) },
  };
  await connection('uploads')
    .insert({ ...row, crc: uploadCrc(row) })
    .onConflict('upload_id')
    .merge();
}

/** Why who took an upload with this epoch may write no more; undefined: it may. */
export function lostError(uploadId: string, epoch: number, row: UploadRow | undefined): StorageError | undefined {
  if (row === undefined) return unknownUpload(uploadId);
  if (!uploadChecks(row)) return uploadDamaged(uploadId);
  if (row.outcome !== 'OPEN') return endedError(recordOf(row));
  return Number(row.epoch) === epoch ? undefined : takenOver(uploadId);
}
