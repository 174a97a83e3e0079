import { create } from '@bufbuild/protobuf';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { UploadOutcome, UploadRecordSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Batch } from '../../rows/batch.js';
import { schemaOf } from '../../rows/batch.js';
import { RunSummary } from '../../rows/summary.js';
import { milliseconds } from '../times.js';
import type { UploadRows, UploadStore } from '../uploads/upload-store.js';
import type { MemoryBudget } from './memory-budget.js';
import { RowBlocks } from './row-blocks.js';

/** The rows of an upload in memory. They are as safe as they get once they are received. */
export class MemoryUploadRows implements UploadRows {
  readonly isPersisted = false;
  readonly summary: RunSummary;
  readonly blocks: RowBlocks;
  updateTimeMs = Date.now();
  private isResult = false;

  constructor(
    readonly record: UploadRecord,
    budget: MemoryBudget,
  ) {
    const variables = record.problem?.variables ?? [];
    this.summary = new RunSummary(variables);
    this.blocks = new RowBlocks(schemaOf(variables), budget, this.summary);
  }

  get nextRow(): number {
    return this.blocks.rowCount;
  }

  get durableRowCount(): number {
    return this.blocks.rowCount;
  }

  get sizeBytes(): number {
    return this.blocks.heldBytes;
  }

  async append(batch: Batch): Promise<void> {
    this.blocks.add(batch);
    this.updateTimeMs = Date.now();
  }

  sync(): Promise<number> {
    return Promise.resolve(this.nextRow);
  }

  /** The rows belong to a result from now on. */
  handOver(): RowBlocks {
    this.isResult = true;
    return this.blocks;
  }

  async close(): Promise<void> {
    if (!this.isResult) this.blocks.release();
  }

  suspend(): Promise<void> {
    return this.close();
  }
}

/** A change that is made together with a manifest, once nothing can fail any more. */
export type MemoryChange = () => void;

/** Uploads in memory. */
export class MemoryUploads implements UploadStore<MemoryUploadRows, MemoryChange> {
  private readonly records = new Map<string, UploadRecord>();

  constructor(
    private readonly budget: MemoryBudget,
    private readonly keepRows: (manifest: Manifest, rows: RowBlocks) => void,
  ) {}

  async ended(uploadId: string): Promise<UploadRecord | undefined> {
    return this.records.get(uploadId);
  }

  begin(record: UploadRecord): MemoryUploadRows {
    return new MemoryUploadRows(record, this.budget);
  }

  mend(rows: MemoryUploadRows): Promise<MemoryUploadRows> {
    return Promise.resolve(rows);
  }

  async complete(rows: MemoryUploadRows, manifest: Manifest): Promise<MemoryChange[]> {
    rows.blocks.gather();
    manifest.columns = rows.summary.summaries();
    manifest.sizeBytes = BigInt(rows.sizeBytes);
    const { uploadId } = rows.record;
    const record = create(UploadRecordSchema, {
      uploadId,
      key: manifest.key,
      outcome: UploadOutcome.COMMITTED,
      committed: manifest,
      updateTime: timestampNow(),
    });
    return [() => this.records.set(uploadId, record), () => this.keepRows(manifest, rows.handOver())];
  }

  async end(rows: MemoryUploadRows, record: UploadRecord): Promise<void> {
    this.records.set(record.uploadId, record);
    await rows.close();
  }

  async forget(endedBeforeMs: number): Promise<void> {
    for (const [uploadId, record] of this.records) {
      const isOver = record.outcome !== UploadOutcome.COMMITTED && milliseconds(record.updateTime) < endedBeforeMs;
      if (isOver) this.records.delete(uploadId);
    }
  }
}
