import { create } from '@bufbuild/protobuf';
import type { Knex } from 'knex';
import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { SegmentCheckpointSchema, SegmentSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { decode } from '../../messages/decode.js';
import { encode } from '../../messages/encode.js';
import { isCorrupt, StorageError, toStorageError } from '../../errors.js';
import { blockBytesFor, CHECKPOINT_BYTES, GATHER_BYTES_MAX } from '../../limits.js';
import type { Batch, Schema } from '../../rows/batch.js';
import { batchBytes, schemaOf } from '../../rows/batch.js';
import { checksummed } from '../../rows/checksum.js';
import { gatherBatches } from '../../rows/gather.js';
import { RunSummary } from '../../rows/summary.js';
import type { IngestBudget } from '../uploads/ingest-budget.js';
import { ReceivedRows } from '../uploads/received-rows.js';
import { rowsLost } from '../uploads/upload-errors.js';
import { Serial } from '../serial.js';
import type { UploadRows } from '../uploads/upload-store.js';
import { blocksOf, checkRange, readWholeBlock, writeBlock, type StoredBlock } from './blocks.js';
import type { Connection, Database } from './database.js';
import { changeUpload, findUnchecked, lostError, type UploadRow } from './upload-table.js';

/** Loose blocks are joined when there are so many: one a sync would be many of a few rows. */
const LOOSE_BLOCKS_MAX = 64;

/** What the rows of an upload need. */
export interface RowsContext {
  readonly database: Database;
  readonly budget: IngestBudget;
  /** Told when the rows can't be written any more. */
  readonly failed: (error: StorageError) => void;
}

/**
 * The rows of one upload on their way into the table of blocks. Each sync is a transaction that begins by checking the
 * upload's epoch: who was fenced, by whichever daemon, writes nothing. Small batches make loose blocks, which are
 * gathered when they make a block together, at the latest by the commit.
 */
export class DatabaseRows implements UploadRows {
  readonly isPersisted = true;
  readonly schema: Schema;
  private readonly blockBytes: number;
  private readonly baseRowCount: number;
  private readonly received: ReceivedRows;
  private readonly serial = new Serial();
  private summary: RunSummary;
  private loose: StoredBlock[] = [];
  private checkpointBytes = 0;
  private failure: StorageError | undefined;
  private writing: Promise<unknown> | undefined;
  /** Bytes that the budget counts for this upload. */
  private heldBytes = 0;
  sizeBytes: number;
  nextRow: number;
  durableRowCount: number;
  updateTimeMs: number;

  private constructor(
    private readonly context: RowsContext,
    readonly record: UploadRecord,
    readonly epoch: number,
    private readonly segmentId: number,
    row: UploadRow,
  ) {
    const variables = record.problem?.variables ?? [];
    this.schema = schemaOf(variables);
    this.blockBytes = blockBytesFor(this.schema.length);
    this.received = new ReceivedRows(this.schema, this.blockBytes);
    this.baseRowCount = Number(record.base?.rowCount ?? 0);
    this.nextRow = this.durableRowCount = Number(row.row_count);
    this.sizeBytes = Number(row.size_bytes);
    this.updateTimeMs = Number(row.update_time_ms);
    this.summary = new RunSummary(variables, record.base?.columns);
  }

  /** Takes an upload up as it is in the database. */
  static async open(context: RowsContext, record: UploadRecord, row: UploadRow): Promise<DatabaseRows> {
    const rows = new DatabaseRows(context, record, Number(row.epoch), Number(row.segment_id), row);
    if (rows.durableRowCount === rows.baseRowCount) return rows;
    try {
      await context.database.query((connection) => rows.restore(connection, row.checkpoint));
    } catch (error) {
      throw isCorrupt(error) ? rowsLost(record, rows.baseRowCount, error) : error;
    }
    return rows;
  }

  /** Finds its loose blocks, and what the others hold: those behind the checkpoint are read again. */
  private async restore(connection: Connection, checkpointBytes: Uint8Array | null): Promise<void> {
    const checkpoint = checkpointBytes === null ? undefined : decode(SegmentCheckpointSchema, checkpointBytes);
    if (checkpoint !== undefined) {
      this.summary = new RunSummary(this.record.problem?.variables ?? [], checkpoint.columns);
      this.checkpointBytes = Number(checkpoint.sizeBytes);
    }
    const from = Number(checkpoint?.rowCount ?? this.baseRowCount);
    const blocks = await blocksOf(connection, this.segmentId, from, this.durableRowCount);
    checkRange(blocks, from, this.durableRowCount);
    for (const block of blocks) {
      const batch = await readWholeBlock(connection, this.segmentId, block, this.schema.length);
      if (block.isLoose) this.loose.push(block);
      else this.summary.add(batch);
    }
  }

  async append(batch: Batch): Promise<void> {
    this.check();
    const byteLength = batchBytes(batch);
    this.received.add(batch, byteLength);
    this.nextRow += batch.rowCount;
    this.heldBytes += byteLength;
    this.context.budget.take(byteLength);
    if (this.received.byteLength >= this.blockBytes || !this.context.budget.hasRoom()) {
      // One write runs while the next is gathered; a third waits.
      await this.writing;
      this.writing = this.sync().catch(() => undefined);
    }
    await this.context.budget.room();
    this.check();
  }

  sync(): Promise<number> {
    return this.serial.run(() => this.write(false));
  }

  /** Brings all rows into their final form, durable. */
  finish(): Promise<number> {
    return this.serial.run(() => this.write(true));
  }

  private async write(isLast: boolean): Promise<number> {
    this.check();
    const batches = this.received.take();
    const taken = this.heldBytes;
    if (batches.length === 0 && !(isLast && this.loose.length > 0)) return this.durableRowCount;
    const last = batches.at(-1);
    const rowCount = last === undefined ? this.durableRowCount : last.firstRow + last.rowCount;
    try {
      await this.context.database.transact(async (connection) => {
        const row = await this.lock(connection);
        await this.writeBlocks(connection, batches, isLast);
        await this.note(connection, row, rowCount);
      });
    } catch (error) {
      throw this.fail(error);
    }
    this.durableRowCount = rowCount;
    this.updateTimeMs = Date.now();
    this.heldBytes -= taken;
    this.context.budget.give(taken);
    return rowCount;
  }

  /** Locks the upload's row until the transaction ends; fails where it was taken over, has ended or is damaged. */
  async lock(connection: Connection): Promise<UploadRow> {
    const { uploadId } = this.record;
    const row = await findUnchecked(connection, uploadId);
    const lost = lostError(uploadId, this.epoch, row);
    if (lost !== undefined) throw lost;
    return row as UploadRow;
  }

  private async note(connection: Knex.Transaction, row: UploadRow, rowCount: number): Promise<void> {
    const counts = { row_count: rowCount, size_bytes: this.sizeBytes, update_time_ms: Date.now() };
    if (this.sizeBytes - this.checkpointBytes < CHECKPOINT_BYTES)
      return void (await changeUpload(connection, row, counts));
    this.checkpointBytes = this.sizeBytes;
    const checkpoint = create(SegmentCheckpointSchema, {
      sizeBytes: BigInt(this.sizeBytes),
      rowCount: BigInt(this.loose[0]?.firstRow ?? rowCount),
      columns: this.summary.summaries(),
    });
    const bytes = encode(SegmentCheckpointSchema, checkpoint);
    await changeUpload(connection, row, { ...counts, checkpoint: bytes });
  }

  /** Writes whole blocks, and what is left as a loose one; as a block too where it is the last. */
  private async writeBlocks(connection: Connection, batches: readonly Batch[], isLast: boolean): Promise<void> {
    let group: Batch[] = [];
    let groupBytes = 0;
    for (const batch of batches) {
      const byteLength = batchBytes(batch);
      group.push(batch);
      groupBytes += byteLength;
      if (byteLength >= GATHER_BYTES_MAX || this.looseBytes + groupBytes >= this.blockBytes) {
        await this.gather(connection, group, false);
        group = [];
        groupBytes = 0;
      }
    }
    if (isLast && group.length + this.loose.length > 0) return this.gather(connection, group, false);
    if (group.length === 0) return;
    if (this.loose.length >= LOOSE_BLOCKS_MAX) return this.gather(connection, group, true);
    const block = await writeBlock(connection, this.segmentId, gatherBatches(this.schema, group), true);
    this.sizeBytes += block.blockBytes;
    this.loose.push(block);
  }

  private get looseBytes(): number {
    return this.loose.reduce((bytes, { blockBytes }) => bytes + blockBytes, 0);
  }

  /** Makes one block of the loose ones and of what follows them. */
  private async gather(connection: Connection, group: readonly Batch[], isLoose: boolean): Promise<void> {
    const waiting: Batch[] = [];
    for (const block of this.loose)
      waiting.push(await readWholeBlock(connection, this.segmentId, block, this.schema.length));
    const batch = checksummed(gatherBatches(this.schema, [...waiting, ...group]));
    if (this.loose.length > 0) {
      await connection('blocks')
        .where({ segment_id: this.segmentId, is_loose: true })
        .andWhere('first_row', '>=', batch.firstRow)
        .delete();
      this.sizeBytes -= this.looseBytes;
    }
    const block = await writeBlock(connection, this.segmentId, batch, isLoose);
    this.sizeBytes += block.blockBytes;
    this.loose = isLoose ? [block] : [];
    if (!isLoose) this.summary.add(batch);
  }

  /** Fills in the manifest's columns, segments and bytes, behind those that it has of its base. Finished before. */
  describe(manifest: Manifest): void {
    manifest.columns = this.summary.summaries();
    manifest.rowCount = BigInt(this.durableRowCount);
    manifest.sizeBytes += BigInt(this.sizeBytes);
    if (this.durableRowCount === this.baseRowCount) return;
    const segment = create(SegmentSchema, {
      name: String(this.segmentId),
      firstRow: BigInt(this.baseRowCount),
      rowCount: BigInt(this.durableRowCount - this.baseRowCount),
      sizeBytes: BigInt(this.sizeBytes),
    });
    manifest.segments = [...manifest.segments, segment];
  }

  /** Whether rows can still be written. */
  get hasFailed(): boolean {
    return this.failure !== undefined;
  }

  /** Ends it in this process: nothing more is written. */
  async close(): Promise<void> {
    this.failure ??= new StorageError('UPLOAD_COMMITTED', 'The upload has ended.');
    await this.serial.run(async () => this.drop());
  }

  /** Ends it in this process; what was received is durable, if the database can be asked. */
  async suspend(): Promise<void> {
    if (this.failure === undefined) await this.sync().catch(() => undefined);
    await this.close();
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  /** After a failed transaction only the database knows what it holds: the upload is taken up again from there. */
  private fail(error: unknown): StorageError {
    this.failure ??= toStorageError(error);
    this.drop();
    this.context.failed(this.failure);
    return this.failure;
  }

  private drop(): void {
    this.received.take();
    this.context.budget.give(this.heldBytes);
    this.heldBytes = 0;
  }
}
