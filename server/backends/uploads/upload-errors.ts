import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind, UploadOutcome } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { StorageError } from '../../errors.js';
import { OPEN_UPLOADS_MAX } from '../../limits.js';
import type { UploadSpec } from '../backend.js';

/** Refuses to resume an upload with another key or other variables: UPLOAD_CONFLICT. */
export function checkSame(record: Pick<UploadRecord, 'key' | 'uploadId' | 'problem'>, spec: UploadSpec): void {
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

/** The error for an upload that takes no more rows, by what became of it. */
export function endedError(record: UploadRecord): StorageError {
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

/** The error for an upload that never was, or is forgotten. */
export function unknownUpload(uploadId: string): StorageError {
  return new StorageError(
    'UPLOAD_NOT_FOUND',
    `There is no upload ${uploadId}. \`optistore uploads\` lists those in progress.`,
  );
}

/** The error for a handle whose upload another one has. */
export function takenOver(uploadId: string): StorageError {
  return new StorageError(
    'UPLOAD_TAKEN_OVER',
    `Upload ${uploadId} was opened by another stream. Do not reconnect: one stream at a time saves an upload.`,
  );
}

/** The error for a new upload where there are as many as a store may have. */
export function tooManyUploads(): StorageError {
  return new StorageError(
    'TOO_MANY_UPLOADS',
    `${OPEN_UPLOADS_MAX} uploads are open, as many as a store may have. Commit or abort some; \`optistore uploads\` lists them.`,
  );
}

/** The error for handles whose store is closed. */
export function storeCloses(): StorageError {
  return new StorageError('SHUTTING_DOWN', 'The store is closing. Reconnect, and resume the upload.');
}

/** The error for a commit that names another row count than is stored. */
export function rowCountMismatch(named: number, stored: number): StorageError {
  return new StorageError(
    'ROW_COUNT_MISMATCH',
    `The commit names ${named} rows, but ${stored} are stored. Send what is missing from row ${stored} on, or open a new upload.`,
    { metadata: { next_row: String(stored) } },
  );
}

/** The revision that a key's newest manifest gives it: 0 where there is none or it is deleted. */
export function committedRevision(newest: Manifest | undefined): number {
  return newest?.kind === RevisionKind.COMMITTED ? Number(newest.revision) : 0;
}

/** Refuses a change that expects another revision than there is: REVISION_MISMATCH. Undefined: no check. */
export function checkRevision(key: string, expected: number | undefined, actual: number): void {
  if (expected !== undefined && expected !== actual) throw revisionMismatch(key, expected, actual);
}

function revisionMismatch(key: string, expected: number, actual: number): StorageError {
  const is = actual === 0 ? 'does not exist' : `is at revision ${actual}`;
  return new StorageError(
    'REVISION_MISMATCH',
    `"${key}" ${is}, but ${expected === 0 ? 'it must not exist' : `revision ${expected} was expected`}. Someone changed it: look at it, then try again with its revision.`,
    { metadata: { revision: String(actual) } },
  );
}

/** The error for an upload of which rows that were acked can't be read: nothing of it is used. */
export function rowsLost(
  { uploadId, key }: Pick<UploadRecord, 'uploadId' | 'key'>,
  nextRow: number,
  cause?: unknown,
): StorageError {
  return new StorageError(
    'RESULT_CORRUPT',
    `Rows of upload ${uploadId} to "${key}" that were acknowledged are damaged in the store: those from ${nextRow} on can't be read. Abort it, and send the run again under another upload id.`,
    { cause, metadata: { damaged_part: `rows from ${nextRow}` } },
  );
}

/** The error for an upload whose record in the store does not check. */
export function uploadDamaged(uploadId: string): StorageError {
  return new StorageError(
    'RESULT_CORRUPT',
    `What the store keeps of upload ${uploadId} does not check: its disk or file is damaged. Abort it, and send the run again under another upload id.`,
    { metadata: { damaged_part: `upload ${uploadId}` } },
  );
}
