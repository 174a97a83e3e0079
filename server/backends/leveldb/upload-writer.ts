import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import type { Segment, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { SegmentCheckpointSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ColumnSummary } from '../../../proto/gen/optistore/v1/result_pb.js';
import { StorageError, toStorageError } from '../../errors.js';
import {
  blockBytesFor,
  BUSY_BLOCK_BYTES_MIN,
  CHECKPOINT_BYTES,
  GATHER_BYTES_MAX,
  INLINE_BYTES_MAX,
  STREAM_INGEST_BYTES_MAX,
} from '../../limits.js';
import type { Batch, Schema } from '../../rows/batch.js';
import type { Selection } from '../../rows/select.js';
import { batchBytes, schemaOf } from '../../rows/batch.js';
import { checksummed } from '../../rows/checksum.js';
import { gatherBatches, joinBatches } from '../../rows/gather.js';
import { RunSummary } from '../../rows/summary.js';
import type { ReadableRows } from '../uploads/upload-store.js';
import { InFlightRows } from './in-flight-rows.js';
import { ReceivedRows } from '../uploads/received-rows.js';
import { rowsLost } from '../uploads/upload-errors.js';
import { encodePieces, type EncodedBlock } from '../blocks/block-format.js';
import type { FolderSync } from '../folder-sync.js';
import type { IndexStore } from './index-store.js';
import type { IngestBudget } from '../uploads/ingest-budget.js';
import { isLost, type Frame, type Journal } from './journal.js';
import type { SegmentBounds } from './recovery.js';
import { inlineSegment, SegmentWriter, type RowRange } from './segment-writer.js';
import { readWritten } from './upload-reader.js';
import { Serial } from '../serial.js';

/** What an upload needs of its store. */
export interface Places {
  readonly index: IndexStore;
  readonly journal: Journal;
  readonly budget: IngestBudget;
  /** Folder of the segment files. */
  readonly segments: string;
  readonly segmentNames: FolderSync;
}

/** What recovery found of an upload. */
export interface Recovered {
  readonly segment: SegmentWriter | undefined;
  readonly summary: RunSummary;
  readonly frames: Frame[];
  readonly nextRow: number;
  readonly updateTimeMs: number;
  /** Whether its record is durable. */
  readonly isPersisted: boolean;
}

/** Batches that have less for each column are copied together: more buffers to be written would cost more than the copy. */
const PIECE_BYTES_PER_COLUMN_MIN = 4096;

/** Rows that lie in the journal, in memory, or both ways on their way into the segment. */
type Group = { readonly batches: Batch[]; readonly byteLength: number };

const appended = (segment: SegmentWriter, rows: RowRange, block: EncodedBlock) => segment.append(rows, block);

/**
 * The rows of one upload on their way to disk. Small batches become one journal frame a sync; when the frames
 * and what is received make a block, they are gathered into the segment. Large batches are a block at once.
 */
export class UploadWriter implements ReadableRows {
  readonly schema: Schema;
  private readonly blockBytes: number;
  /** Rows of the revision that is appended to. */
  private readonly baseRowCount: number;
  private readonly serial = new Serial();
  private readonly received: ReceivedRows;
  private isWriteAsked = false;
  private readonly inFlight = new InFlightRows();
  private roomMakers: (() => void)[] = [];
  private frames: Frame[];
  private frameBytes = 0;
  private segment: SegmentWriter | undefined;
  private summary: RunSummary;
  private checkpointBytes = 0;
  /** Rows up to this one are durable in the segment, those behind in the journal or not at all. */
  private durableInSegment: number;
  private isDoubtful = false;
  private persisted: boolean;
  private failure: StorageError | undefined;
  private written: number;
  nextRow: number;
  durableRowCount: number;
  updateTimeMs: number;

  constructor(
    private readonly places: Places,
    readonly record: UploadRecord,
    recovered?: Recovered,
    /** Why its rows are not whole: nothing can be made of it. */
    readonly damage?: StorageError,
  ) {
    const variables = record.problem?.variables ?? [];
    this.schema = schemaOf(variables);
    this.blockBytes = blockBytesFor(this.schema.length);
    this.received = new ReceivedRows(this.schema, this.blockBytes);
    this.segment = recovered?.segment;
    this.baseRowCount = Number(record.base?.rowCount ?? 0);
    this.summary = recovered?.summary ?? new RunSummary(variables, record.base?.columns);
    this.frames = recovered?.frames ?? [];
    for (const frame of this.frames) this.frameBytes += frame.byteLength;
    this.checkpointBytes = this.segment?.sizeBytes ?? 0;
    this.persisted = recovered?.isPersisted ?? false;
    this.durableInSegment = this.rowsInSegment();
    this.failure = damage;
    this.nextRow = this.durableRowCount = this.written = recovered?.nextRow ?? this.baseRowCount;
    this.updateTimeMs = recovered?.updateTimeMs ?? Date.now();
  }

  /** Bytes on disk that are this upload's own. */
  get sizeBytes(): number {
    return (this.segment?.sizeBytes ?? 0) + this.frameBytes;
  }

  /** Takes rows; resolves when there is room for more. */
  async append(batch: Batch): Promise<void> {
    this.check();
    const byteLength = batchBytes(batch);
    this.received.add(batch, byteLength);
    this.nextRow += batch.rowCount;
    this.inFlight.received(this.nextRow, byteLength);
    this.places.budget.take(byteLength);
    if (byteLength >= GATHER_BYTES_MAX || this.frameBytes + this.received.byteLength >= this.blockBytes)
      this.writeSoon();
    while (this.inFlight.byteLength > STREAM_INGEST_BYTES_MAX && this.failure === undefined) {
      await new Promise<void>((resolve) => this.roomMakers.push(resolve));
    }
    // What others hold is written when it is due; what this one holds must not wait for them.
    if (!this.places.budget.hasRoom()) this.writeSoon(true);
    await this.places.budget.room();
    this.check();
  }

  private writeSoon(all = false): void {
    // One that waits takes all that comes until it begins.
    if (this.isWriteAsked && !all) return;
    this.isWriteAsked = true;
    void this.serial.run(() => this.write(all)).catch((error: unknown) => this.fail(error));
  }

  /** Makes all rows durable that were appended before the call. */
  async sync(): Promise<number> {
    this.check();
    try {
      const rows = await this.serial.run(() => this.write(true).then(() => this.written));
      if (rows === this.durableRowCount) return rows;
      const { segment, frames } = this;
      const segmentBytes = segment?.sizeBytes ?? 0;
      const covered = this.rowsInSegment();
      await Promise.all([segment?.sync(), frames.length > 0 ? this.places.journal.sync() : undefined, this.persist()]);
      this.check();
      if (frames.some(isLost)) throw rowsLost(this.record, this.durableRowCount);
      this.durableRowCount = Math.max(this.durableRowCount, rows);
      this.updateTimeMs = Date.now();
      await this.places.journal.mark(this.record.number, this.durableRowCount);
      this.releaseFrames(covered);
      if (segmentBytes - this.checkpointBytes >= CHECKPOINT_BYTES) await this.serial.run(() => this.checkpoint());
      return this.durableRowCount;
    } catch (error) {
      throw this.fail(error);
    }
  }

  read(selection: Selection, signal: AbortSignal): AsyncIterable<Batch> {
    const where = () => ({ segment: this.segment, frames: this.frames, hasEnded: this.failure !== undefined });
    return readWritten(where, this.places.journal, this.schema, selection, signal);
  }

  /** The upload's record is durable before its first ack. */
  private async persist(): Promise<void> {
    if (this.persisted) return;
    this.record.updateTime = timestampNow();
    await this.places.index.write(this.places.index.putUpload(this.record));
    this.persisted = true;
  }

  /** Recovery need not read what lies before a checkpoint. */
  private async checkpoint(): Promise<void> {
    if (this.segment === undefined) return;
    await this.segment.sync();
    this.durableInSegment = this.rowsInSegment();
    this.checkpointBytes = this.segment.sizeBytes;
    this.record.updateTime = timestampNow();
    this.record.checkpoint = create(SegmentCheckpointSchema, {
      sizeBytes: BigInt(this.checkpointBytes),
      rowCount: BigInt(this.durableInSegment),
      columns: this.summary.summaries(),
    });
    await this.places.index.write(this.places.index.putUpload(this.record));
  }

  private rowsInSegment(): number {
    const last = this.segment?.blocks.at(-1);
    return last === undefined ? this.baseRowCount : last.firstRow + last.rowCount;
  }

  private releaseFrames(durableInSegment: number): void {
    this.durableInSegment = Math.max(this.durableInSegment, durableInSegment);
    const done = this.releasable.filter((frame) => frame.firstRow + frame.rowCount <= durableInSegment);
    this.releasable = this.releasable.filter((frame) => !done.includes(frame));
    this.places.journal.release(done);
  }

  /** Frames whose rows are in the segment, but maybe not durable there. */
  private releasable: Frame[] = [];

  /** Writes what was received: whole blocks, and the rest too when `all` is set. Runs in the serial only. */
  private async write(all: boolean): Promise<void> {
    this.check();
    this.isWriteAsked = false;
    const rest = await this.writeBlocks(this.received.take());
    if (rest.batches.length === 0) return;
    if (!all) return this.received.putBack(rest.batches);
    const bytesMin = this.places.budget.isBusy ? BUSY_BLOCK_BYTES_MIN : GATHER_BYTES_MAX;
    if (rest.byteLength >= bytesMin) await this.writeBlock(rest, appended);
    else await this.writeFrame(rest);
  }

  /** Cuts batches into blocks and writes those that are full; returns the rest. */
  private async writeBlocks(batches: readonly Batch[]): Promise<Group> {
    let group: { batches: Batch[]; byteLength: number } = { batches: [], byteLength: 0 };
    for (const batch of batches) {
      const byteLength = batchBytes(batch);
      group.batches.push(batch);
      group.byteLength += byteLength;
      if (byteLength >= GATHER_BYTES_MAX || this.frameBytes + group.byteLength >= this.blockBytes) {
        await this.writeBlock(group, appended);
        group = { batches: [], byteLength: 0 };
      }
    }
    return group;
  }

  private async writeFrame(group: Group): Promise<void> {
    const batch = gatherBatches(this.schema, group.batches);
    const frame = await this.places.journal.append(this.record.number, batch);
    this.frames.push(frame);
    this.frameBytes += frame.byteLength;
    this.wrote(batch);
  }

  /** Writes the journal's rows and these as one block. `write`: how, and what comes of it. */
  private async writeBlock<T>(
    group: Group,
    write: (segment: SegmentWriter, rows: RowRange, block: EncodedBlock) => Promise<T>,
  ): Promise<T> {
    const waiting = this.frames.length > 0 ? await this.places.journal.read(this.frames, this.schema) : [];
    // Their block and their summary need them.
    const batches = this.withoutSmall([...waiting, ...group.batches]).map(checksummed);
    const batch = joinBatches(this.schema, batches);
    const { segments, segmentNames } = this.places;
    this.segment ??= await SegmentWriter.create(join(segments, this.segmentName), this.segmentName, segmentNames);
    const block = encodePieces(batch);
    const written = await write(this.segment, batch, block);
    for (const part of batches) this.summary.add(part);
    this.releasable.push(...this.frames);
    this.frames = [];
    this.frameBytes = 0;
    this.wrote(batch);
    return written;
  }

  /** Small batches gathered: large ones are written from where they lie. */
  private withoutSmall(batches: Batch[]): Batch[] {
    const bytesMin = PIECE_BYTES_PER_COLUMN_MIN * this.schema.length;
    return batches.some((batch) => batchBytes(batch) < bytesMin) ? [gatherBatches(this.schema, batches)] : batches;
  }

  private wrote(batch: RowRange): void {
    this.written = batch.firstRow + batch.rowCount;
    this.places.budget.give(this.inFlight.written(this.written));
    for (const makeRoom of this.roomMakers.splice(0)) makeRoom();
  }

  /** The name that the upload's rows have in the store. */
  get segmentName(): string {
    return `${String(this.record.number).padStart(10, '0')}.seg`;
  }

  /**
   * Brings all rows into their final form, durable but for an inline image, which goes into the index with
   * the manifest. The upload may go on afterwards if its commit is refused.
   */
  async finish(): Promise<{ segment: Segment | undefined; image: Buffer | undefined; columns: ColumnSummary[] }> {
    this.check();
    try {
      return await this.serial.run(async () => {
        // A write that was asked for before may have failed since, and its rows are gone.
        this.check();
        const taken = this.received.take();
        const byteLength = taken.reduce((bytes, batch) => bytes + batchBytes(batch), 0);
        if (this.segment === undefined && this.frameBytes + byteLength <= INLINE_BYTES_MAX) {
          // Rows stay where they are until the commit is in the index, so that a refused commit loses nothing.
          this.received.putBack(taken);
          return await this.finishInline(taken);
        }
        const rest = await this.writeBlocks(taken);
        const isMore = rest.batches.length + this.frames.length > 0;
        const segment = isMore
          ? await this.writeBlock(rest, (file, rows, block) => file.finish({ rows, block }))
          : await this.segment?.finish();
        this.durableRowCount = this.durableInSegment = this.written;
        return { segment, image: undefined, columns: this.summary.summaries() };
      });
    } catch (error) {
      throw this.fail(error);
    }
  }

  private async finishInline(taken: readonly Batch[]) {
    const waiting = this.frames.length > 0 ? await this.places.journal.read(this.frames, this.schema) : [];
    const batches = [...waiting, ...taken];
    const summary = new RunSummary(this.record.problem?.variables ?? [], this.record.base?.columns);
    if (batches.length === 0) return { segment: undefined, image: undefined, columns: summary.summaries() };
    const batch = checksummed(gatherBatches(this.schema, batches));
    const { segment, image } = inlineSegment(this.segmentName, batch);
    summary.add(batch);
    return { segment, image, columns: summary.summaries() };
  }

  /** Ends the writer: nothing more is written. Its journal frames are released; its file stays. */
  async close(): Promise<void> {
    this.failure ??= new StorageError('UPLOAD_COMMITTED', 'The upload has ended.');
    await this.serial.run(async () => {
      this.places.journal.release([...this.frames, ...this.releasable]);
      this.places.journal.forget(this.record.number);
      this.places.budget.give(this.inFlight.written(Infinity));
      this.received.take();
      await this.closeSegment();
    });
  }

  /** Closes the file without releasing anything: the daemon stops, and the upload goes on after it. */
  async suspend(): Promise<void> {
    if (this.failure === undefined) await this.sync().catch(() => undefined);
    await this.serial.run(async () => {
      await this.closeSegment();
      this.failure ??= new StorageError('BACKEND_UNAVAILABLE', 'The store is closed.');
    });
  }

  /** Closes the file after a failure; says which frames and rows are safe, to recover the upload from. */
  async giveUp(): Promise<{ frames: Frame[]; durableRowCount: number; segment: SegmentBounds }> {
    await this.serial.run(() => this.closeSegment());
    const segment = { durableRows: this.durableInSegment, isDoubtful: this.isDoubtful };
    // Where that fails as well, it is not tried on the same file again.
    this.isDoubtful = true;
    return { frames: [...this.releasable, ...this.frames], durableRowCount: this.durableRowCount, segment };
  }

  private async closeSegment(): Promise<void> {
    this.isDoubtful ||= this.segment?.hasFailed === true;
    await this.segment?.[Symbol.asyncDispose]();
    this.segment = undefined;
  }

  /** Whether it has a segment file. */
  get hasSegment(): boolean {
    return this.segment !== undefined;
  }

  /** Whether there is anything of it on disk. */
  get isPersisted(): boolean {
    return this.persisted;
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  /** After a failed write or fsync nobody knows what the file holds: this upload acks nothing more. */
  private fail(error: unknown): StorageError {
    this.failure ??= toStorageError(error);
    for (const makeRoom of this.roomMakers.splice(0)) makeRoom();
    this.places.budget.give(this.inFlight.written(Infinity));
    return this.failure;
  }
}
