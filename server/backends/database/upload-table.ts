import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { UploadOutcome, UploadRecordSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageError } from '../../errors.js';
import { endedError, takenOver, unknownUpload } from '../uploads/upload-errors.js';
import type { Connection } from './database.js';
import { asBuffer } from './result-rows.js';

/** A handle that is not renewed for this long is no longer there: its daemon was killed. */
export const HELD_MS = 60_000;

/** What became of an upload, as the table says it; OPEN takes rows. */
export type Ended = 'COMMITTED' | 'ABORTED' | 'EXPIRED';

/** A row of the table of uploads. */
export interface UploadRow {
  readonly upload_id: string;
  readonly key: string;
  readonly outcome: 'OPEN' | Ended;
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
}

/** Finds an upload; locked until the transaction ends. */
export async function findUpload(connection: Connection, uploadId: string): Promise<UploadRow | undefined> {
  const row: unknown = await connection('uploads').where({ upload_id: uploadId }).forUpdate().first();
  return row as UploadRow | undefined;
}

/** The record that a row has. */
export function recordOf({ record }: Pick<UploadRow, 'record'>): UploadRecord {
  return fromBinary(UploadRecordSchema, record);
}

/** A record as it is kept. */
export function recordBytes(record: UploadRecord): Buffer {
  return asBuffer(toBinary(UploadRecordSchema, record));
}

/** Remembers what became of an upload: its row, whichever it had before. */
export async function rememberEnded(connection: Connection, record: UploadRecord): Promise<void> {
  const nowMs = Date.now();
  const row = {
    ...{ upload_id: record.uploadId, key: record.key, outcome: UploadOutcome[record.outcome], is_copy: false },
    ...{ epoch: 0, segment_id: 0, row_count: 0, size_bytes: 0, held_until_ms: 0, checkpoint: null },
    created_by: record.createdBy,
    ...{ create_time_ms: nowMs, update_time_ms: nowMs, record: recordBytes(record) },
  };
  await connection('uploads').insert(row).onConflict('upload_id').merge();
}

/** Why who took an upload with this epoch may write no more; undefined: it may. */
export function lostError(
  uploadId: string,
  epoch: number,
  row: Pick<UploadRow, 'epoch' | 'outcome' | 'record'> | undefined,
): StorageError | undefined {
  if (row === undefined) return unknownUpload(uploadId);
  if (row.outcome !== 'OPEN') return endedError(recordOf(row));
  return Number(row.epoch) === epoch ? undefined : takenOver(uploadId);
}
