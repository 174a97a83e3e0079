import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { StorageError } from '../../errors.js';
import { checkCopiedRows, copyOf, takesCopy } from '../revisions.js';
import { copyId, sharesRows, type ReadSource } from '../uploads/copies.js';
import { takenOver } from '../uploads/upload-errors.js';
import { committedRecord, newCopyRecord } from '../uploads/uploads.js';
import type { Database } from './database.js';
import { insertUpload, takeUpload, type DatabaseUploads } from './database-uploads.js';
import type { EndedUploads } from './ended-uploads.js';
import type { Decide, Results } from './results.js';
import type { DatabaseRows } from './upload-rows.js';
import { findUnchecked, recordOf, rememberEnded, uploadChecks } from './upload-table.js';

/** Revisions of other stores on their way into this one: see StorageBackend.copyIn. Their rows are kept like an upload's. */
export class DatabaseCopies {
  constructor(
    private readonly database: Database,
    private readonly results: Results,
    private readonly uploads: DatabaseUploads,
    private readonly ended: EndedUploads,
  ) {}

  /** Copies a result or a DELETED marker; one copy of a revision at a time. */
  copyIn(source: Manifest, read: ReadSource, replace: boolean, signal: AbortSignal): Promise<Manifest> {
    const uploadId = copyId(source);
    // Not the ids of uploads: a copy that fails is ended under its id.
    return this.uploads.ids.run(`copying ${uploadId}`, async () => {
      // What is replaced may be a revision whose manifest does not check.
      const results = replace ? this.results.overDamaged() : this.results;
      const before = await results.newest(source.key);
      if (before !== undefined && !takesCopy(source, before, replace)) return before;
      const needsRows =
        source.kind === RevisionKind.COMMITTED && (replace || before === undefined || !sharesRows(before, source));
      if (!needsRows) return results.publish(source.key, this.withoutRows(source, replace));
      try {
        const decide = await this.copyRows(uploadId, source, read, replace, signal);
        return await results.publish(source.key, decide);
      } catch (error) {
        // What was read is not what was committed: it is of no use to go on from.
        if (
          error instanceof StorageError &&
          (error.reason === 'RESULT_CORRUPT' || error.reason === 'REVISION_MISMATCH')
        )
          await this.forget(uploadId);
        throw error;
      } finally {
        const entry = this.uploads.held.get(uploadId);
        this.uploads.held.delete(uploadId);
        await entry?.rows.suspend();
      }
    });
  }

  private withoutRows(source: Manifest, replace: boolean): Decide {
    return async (newest, connection, changeNumber) => {
      if (!takesCopy(source, newest, replace)) return undefined;
      const manifest = copyOf(source, newest);
      if (source.kind !== RevisionKind.COMMITTED) return { manifest, addedBytes: 0 };
      if (newest === undefined || !sharesRows(newest, source))
        throw new StorageError('REVISION_MISMATCH', `"${source.key}" was changed while it was copied. Try again.`);
      manifest.segments = newest.segments;
      manifest.sizeBytes = newest.sizeBytes;
      manifest.changeNumber = changeNumber;
      await rememberEnded(connection, committedRecord({ uploadId: source.uploadId, number: 0 }, manifest));
      return { manifest, addedBytes: 0 };
    };
  }

  /** Copies the rows; gives how they become a result. */
  private async copyRows(
    uploadId: string,
    source: Manifest,
    read: ReadSource,
    replace: boolean,
    signal: AbortSignal,
  ): Promise<Decide> {
    const rows = await this.rowsOf(uploadId, source);
    if (rows.nextRow < Number(source.rowCount))
      for await (const batch of read(rows.nextRow, signal)) await rows.append(batch);
    await rows.finish();
    return async (newest, connection, changeNumber) => {
      await rows.lock(connection);
      if (!takesCopy(source, newest, replace)) return undefined;
      const manifest = copyOf(source, newest);
      manifest.sizeBytes = 0n;
      rows.describe(manifest);
      checkCopiedRows(source, manifest);
      manifest.changeNumber = changeNumber;
      await connection('uploads').where({ upload_id: uploadId }).delete();
      await rememberEnded(connection, committedRecord({ uploadId: source.uploadId, number: 0 }, manifest));
      return { manifest, addedBytes: rows.sizeBytes };
    };
  }

  /** Rows of a copy that was begun before, or of a new one. */
  private async rowsOf(uploadId: string, source: Manifest): Promise<DatabaseRows> {
    const record = newCopyRecord(uploadId, source);
    const taken = await this.database.transact(async (connection) => {
      const row = await findUnchecked(connection, uploadId);
      if (row?.outcome === 'OPEN' && uploadChecks(row))
        return { record: recordOf(row), row: await takeUpload(connection, row) };
      if (row !== undefined) await connection('uploads').where({ upload_id: uploadId }).delete();
      return { record, row: await insertUpload(connection, record, 0) };
    });
    if (taken.row === undefined) throw takenOver(uploadId);
    return (await this.uploads.enter(taken.record, taken.row)).rows;
  }

  private async forget(uploadId: string): Promise<void> {
    await this.ended.end(uploadId, 'ABORTED').catch(() => undefined);
  }
}
