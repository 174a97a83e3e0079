import { createHash } from 'node:crypto';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind, UploadOutcome } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { StorageError } from '../../errors.js';
import type { Batch } from '../../rows/batch.js';
import { checkCopiedRows, copyOf, haveSameRows, takesCopy } from '../revisions.js';
import { SerialByName } from '../serial.js';
import type { CommitStore, Results, UploadRows } from './upload-store.js';
import { committedRecord } from './uploads.js';

/** Gives the rows of the revision that is copied, from a row on. */
export type ReadSource = (firstRow: number, signal: AbortSignal) => AsyncIterable<Batch>;

/** Rows of copies that are not yet results. */
export interface CopyRows<Rows extends UploadRows> {
  /** Rows of a copy that was begun before, or of a new one. */
  rowsOfCopy(uploadId: string, source: Manifest): Promise<Rows>;
  /** Ends a copy whose rows belong to a result now. */
  copied(uploadId: string): Promise<void>;
  /** Lets a copy go that was cut off: what has come is kept, and gone on with. */
  cutOff(uploadId: string): Promise<void>;
  /** Ends a copy that is of no use. */
  end(uploadId: string, outcome: UploadOutcome.ABORTED): Promise<void>;
}

/** Revisions of other stores on their way into this one: see StorageBackend.copyIn. Their rows are kept like an upload's. */
export class Copies<Rows extends UploadRows, Change> {
  private readonly running = new SerialByName();

  constructor(
    private readonly store: CommitStore<Rows, Change>,
    private readonly results: Results<Change>,
    private readonly uploads: CopyRows<Rows>,
    /** The same, where a newest revision whose entry does not check counts as none: what is replaced may be that. */
    private readonly overDamaged = results,
  ) {}

  /** Copies a result or a DELETED marker; one copy of a revision at a time. */
  copyIn(source: Manifest, read: ReadSource, replace: boolean, signal: AbortSignal): Promise<Manifest> {
    const uploadId = copyId(source);
    const results = replace ? this.overDamaged : this.results;
    return this.running.run(uploadId, async () => {
      const before = await results.newest(source.key);
      if (before !== undefined && !takesCopy(source, before, replace)) return before;
      const needsRows =
        source.kind === RevisionKind.COMMITTED && (replace || before === undefined || !sharesRows(before, source));
      return needsRows
        ? this.copyRows(uploadId, source, read, replace, results, signal)
        : results.publish(source.key, async (newest) => this.withoutRows(source, newest, replace));
    });
  }

  private withoutRows(source: Manifest, newest: Manifest | undefined, replace: boolean) {
    if (!takesCopy(source, newest, replace)) return undefined;
    const manifest = copyOf(source, newest);
    if (source.kind !== RevisionKind.COMMITTED) return { manifest, changes: [] };
    if (newest === undefined || !sharesRows(newest, source))
      throw new StorageError('REVISION_MISMATCH', `"${source.key}" was changed while it was copied. Try again.`);
    manifest.segments = newest.segments;
    manifest.sizeBytes = newest.sizeBytes;
    const record = { uploadId: source.uploadId, number: 0 };
    return { manifest, changes: this.store.remember(committedRecord(record, manifest)) };
  }

  private async copyRows(
    uploadId: string,
    source: Manifest,
    read: ReadSource,
    replace: boolean,
    results: Results<Change>,
    signal: AbortSignal,
  ): Promise<Manifest> {
    const rows = await this.uploads.rowsOfCopy(uploadId, source);
    let made: Manifest | undefined;
    try {
      if (rows.nextRow < Number(source.rowCount))
        for await (const batch of read(rows.nextRow, signal)) await rows.append(batch);
      const copied = await results.publish(source.key, async (newest) => {
        if (!takesCopy(source, newest, replace)) return undefined;
        const manifest = copyOf(source, newest);
        made = manifest;
        manifest.sizeBytes = 0n;
        const changes = await this.store.complete(rows, manifest);
        manifest.rowCount = BigInt(rows.nextRow);
        checkCopiedRows(source, manifest);
        const record = committedRecord({ uploadId: source.uploadId, number: rows.record.number }, manifest);
        return { manifest, changes: [...changes, ...this.store.drop(uploadId), ...this.store.remember(record)] };
      });
      if (copied === made) await this.uploads.copied(uploadId);
      else await this.uploads.end(uploadId, UploadOutcome.ABORTED);
      return copied;
    } catch (error) {
      const reason = error instanceof StorageError ? error.reason : undefined;
      // What was read is not what was committed: it is of no use to go on from.
      if ((reason === 'RESULT_CORRUPT' && made !== undefined) || reason === 'REVISION_MISMATCH')
        await this.uploads.end(uploadId, UploadOutcome.ABORTED);
      else await this.uploads.cutOff(uploadId);
      throw error;
    }
  }
}

/** Whether a copy can take the rows over that the store has already. */
export function sharesRows(before: Manifest, source: Manifest): boolean {
  return before.kind === RevisionKind.COMMITTED && haveSameRows(before, source);
}

/**
 * A name among uploads that no solver's can be mistaken for in practice. Of two revisions of one number, which a store that lost its
 * data may have made, each has its own: what came of one is not gone on with for the other.
 */
export function copyId({ key, revision, uploadId }: Manifest): string {
  return `copy.${createHash('sha256').update(`${key}\0${uploadId}`).digest('hex').slice(0, 32)}.${revision}`;
}
