import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Problem } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { ReplicationMode } from '../../../proto/gen/optistore/v1/result_pb.js';
import { StorageError } from '../../errors.js';
import type { Batch } from '../../rows/batch.js';
import type { CommitSpec, Upload } from '../backend.js';
import { rowCountMismatch } from './upload-errors.js';
import type { UploadRows } from './upload-store.js';

/** One stream's hold on an upload. Only the newest is obeyed; an older one fails with the reason why it was fenced. */
export class FencedUpload implements Upload {
  private readonly losing = new AbortController();
  readonly lost: AbortSignal = this.losing.signal;
  readonly committed = undefined;

  constructor(
    private readonly rows: UploadRows,
    readonly problem: Problem,
    private readonly commitRows: (spec: CommitSpec) => Promise<Manifest>,
    private readonly released: (handle: FencedUpload) => Promise<void>,
  ) {}

  get uploadId(): string {
    return this.rows.record.uploadId;
  }

  get key(): string {
    return this.rows.record.key;
  }

  get nextRow(): number {
    return this.rows.nextRow;
  }

  get durableRowCount(): number {
    return this.rows.durableRowCount;
  }

  get replication(): ReplicationMode {
    const { replication } = this.rows.record;
    return replication === ReplicationMode.UNSPECIFIED ? ReplicationMode.NONE : replication;
  }

  async append(batch: Batch): Promise<void> {
    this.check();
    if (batch.firstRow !== this.nextRow) {
      throw new StorageError('INTERNAL', `row ${batch.firstRow} appended where row ${this.nextRow} is next`);
    }
    await this.rows.append(batch);
  }

  async sync(): Promise<number> {
    this.check();
    const durable = await this.rows.sync();
    this.check();
    return durable;
  }

  async commit(spec: CommitSpec): Promise<Manifest> {
    this.check();
    return this.commitRows(spec);
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
  readonly replication = ReplicationMode.NONE;
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
