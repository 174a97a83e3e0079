import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Problem } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { StorageError } from '../../errors.js';
import type { Batch } from '../../rows/batch.js';
import type { CommitSpec, Upload } from '../backend.js';
import type { UploadWriter } from './upload-writer.js';

/** One stream's hold on an upload. Only the newest is obeyed; an older one fails with the reason why it was fenced. */
export class FencedUpload implements Upload {
  private readonly losing = new AbortController();
  readonly lost: AbortSignal = this.losing.signal;
  readonly committed = undefined;

  constructor(
    private readonly writer: UploadWriter,
    readonly problem: Problem,
    private readonly commitWriter: (spec: CommitSpec) => Promise<Manifest>,
    private readonly released: (handle: FencedUpload) => Promise<void>,
  ) {}

  get uploadId(): string {
    return this.writer.record.uploadId;
  }

  get key(): string {
    return this.writer.record.key;
  }

  get nextRow(): number {
    return this.writer.nextRow;
  }

  get durableRowCount(): number {
    return this.writer.durableRowCount;
  }

  async append(batch: Batch): Promise<void> {
    this.check();
    if (batch.firstRow !== this.nextRow) {
      throw new StorageError('INTERNAL', `row ${batch.firstRow} appended where row ${this.nextRow} is next`);
    }
    await this.writer.append(batch);
  }

  async sync(): Promise<number> {
    this.check();
    const rows = await this.writer.sync();
    this.check();
    return rows;
  }

  async commit(spec: CommitSpec): Promise<Manifest> {
    this.check();
    return this.commitWriter(spec);
  }

  /** Ends this hold: every later call fails with the reason. */
  fence(reason: StorageError): void {
    this.losing.abort(reason);
  }

  private check(): void {
    if (this.lost.aborted) throw this.lost.reason as StorageError;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.lost.aborted) return;
    await this.released(this);
  }
}

/** A hold on an upload that is a result already: only its commit can be repeated. */
export class CommittedUpload implements Upload {
  readonly lost: AbortSignal = new AbortController().signal;

  constructor(
    readonly uploadId: string,
    readonly problem: Problem,
    readonly committed: Manifest,
  ) {}

  get key(): string {
    return this.committed.key;
  }

  get nextRow(): number {
    return Number(this.committed.rowCount);
  }

  get durableRowCount(): number {
    return this.nextRow;
  }

  append(): Promise<void> {
    return Promise.reject(
      new StorageError(
        'UPLOAD_COMMITTED',
        `Upload ${this.uploadId} is committed and takes no more rows. Open a new upload.`,
      ),
    );
  }

  sync(): Promise<number> {
    return Promise.resolve(this.nextRow);
  }

  commit(spec: CommitSpec): Promise<Manifest> {
    return spec.rowCount === this.nextRow
      ? Promise.resolve(this.committed)
      : Promise.reject(rowCountMismatch(spec.rowCount, this.nextRow));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** The error for a commit that names another row count than is stored. */
export function rowCountMismatch(named: number, stored: number): StorageError {
  return new StorageError(
    'ROW_COUNT_MISMATCH',
    `The commit names ${named} rows, but ${stored} are stored. Send what is missing from row ${stored} on, or open a new upload.`,
    { metadata: { next_row: String(stored) } },
  );
}

/** The error for an expected revision that is no longer true. */
export function revisionMismatch(key: string, expected: number, actual: number): StorageError {
  const is = actual === 0 ? 'does not exist' : `is at revision ${actual}`;
  return new StorageError(
    'REVISION_MISMATCH',
    `"${key}" ${is}, but ${expected === 0 ? 'it must not exist' : `revision ${expected} was expected`}. Someone changed it: look at it, then try again with its revision.`,
    { metadata: { revision: String(actual) } },
  );
}
