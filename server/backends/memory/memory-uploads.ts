import { create } from '@bufbuild/protobuf';
import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { SegmentSchema, UploadOutcome } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { throwIfCancelled } from '../../errors.js';
import type { Batch, Schema } from '../../rows/batch.js';
import { schemaOf } from '../../rows/batch.js';
import { selectRows, type Selection } from '../../rows/select.js';
import { RunSummary } from '../../rows/summary.js';
import { milliseconds } from '../../times.js';
import type { ReadableRows, UploadStore } from '../uploads/upload-store.js';
import type { MemoryBudget } from './memory-budget.js';
import { RowBlocks } from './row-blocks.js';

/** The rows of an upload in memory. They are as safe as they get once they are received. */
export class MemoryUploadRows implements ReadableRows {
  readonly isPersisted = false;
  readonly summary: RunSummary;
  readonly blocks: RowBlocks;
  private readonly schema: Schema;
  private readonly baseRowCount: number;
  updateTimeMs = Date.now();
  private isResult = false;

  constructor(
    readonly record: UploadRecord,
    budget: MemoryBudget,
  ) {
    const variables = record.problem?.variables ?? [];
    this.summary = new RunSummary(variables, record.base?.columns);
    this.schema = schemaOf(variables);
    this.blocks = new RowBlocks(this.schema, budget, this.summary);
    this.baseRowCount = Number(record.base?.rowCount ?? 0);
  }

  get nextRow(): number {
    return this.baseRowCount + this.blocks.rowCount;
  }

  get durableRowCount(): number {
    return this.nextRow;
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

  /** Each batch is looked up when it is asked for: who reads slowly keeps no memory that was given back. */
  async *read(selection: Selection, signal: AbortSignal): AsyncGenerator<Batch> {
    const end = selection.firstRow + selection.rowCount;
    for (let at = selection.firstRow; at < end;) {
      throwIfCancelled(signal);
      const batch = this.blocks.batchOf(at);
      if (batch === undefined) return;
      const part = selectRows(this.schema, batch, { ...selection, firstRow: at, rowCount: end - at });
      if (part === undefined) return;
      at += part.rowCount;
      yield part;
    }
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
    private readonly segments: Map<string, RowBlocks>,
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
    manifest.sizeBytes += BigInt(rows.sizeBytes);
    const name = String(rows.record.number);
    manifest.segments = [...manifest.segments, create(SegmentSchema, { name, sizeBytes: BigInt(rows.sizeBytes) })];
    return [() => this.segments.set(name, rows.handOver())];
  }

  remember(record: UploadRecord): MemoryChange[] {
    return [() => this.records.set(record.uploadId, record)];
  }

  drop(uploadId: string): MemoryChange[] {
    return [() => this.records.delete(uploadId)];
  }

  async end(rows: MemoryUploadRows, record: UploadRecord): Promise<void> {
    this.records.set(record.uploadId, record);
    await rows.close();
  }

  async endDamaged(record: UploadRecord): Promise<void> {
    this.records.set(record.uploadId, record);
  }

  async forget(endedBeforeMs: number): Promise<void> {
    for (const [uploadId, record] of this.records) {
      const isOver = record.outcome !== UploadOutcome.COMMITTED && milliseconds(record.updateTime) < endedBeforeMs;
      if (isOver) this.records.delete(uploadId);
    }
  }
}
