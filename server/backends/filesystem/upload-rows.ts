import { readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { SegmentSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { StorageError, toStorageError } from '../../errors.js';
import { blockBytesFor, GATHER_BYTES_MAX } from '../../limits.js';
import type { Batch, Schema } from '../../rows/batch.js';
import { batchBytes, schemaOf } from '../../rows/batch.js';
import { checksummed } from '../../rows/checksum.js';
import { gatherBatches } from '../../rows/gather.js';
import { RunSummary } from '../../rows/summary.js';
import type { IngestBudget } from '../uploads/ingest-budget.js';
import { ReceivedRows } from '../uploads/received-rows.js';
import { Serial } from '../serial.js';
import { takenOver } from '../uploads/upload-errors.js';
import type { UploadRows } from '../uploads/upload-store.js';
import { ArrowWriter } from './arrow-writer.js';
import { FrameWriter, partsBefore, readParts, readUnproven, saveBase, type Part, type UnprovenRows } from './frames.js';
import { rowFileName, sidecarOf } from './names.js';
import type { Change } from './results.js';
import type { Epoch, UploadFolder } from './upload-folder.js';

/** What the rows of an upload need. */
export interface RowsContext {
  readonly folder: UploadFolder;
  readonly budget: IngestBudget;
  /** Told when the rows can't be written any more. */
  readonly failed: (error: StorageError) => void;
}

/**
 * The rows of one upload on their way to disk. They are written twice: as frames in the order they come, which is what acks
 * rest on, and gathered into record batches of the Arrow file that the commit makes a part of the result.
 */
export class FilesystemRows implements UploadRows {
  readonly schema: Schema;
  private readonly blockBytes: number;
  private readonly baseRowCount: number;
  private readonly received: ReceivedRows;
  private readonly serial = new Serial();
  private readonly summary: RunSummary;
  private frames: FrameWriter | undefined;
  private arrow: ArrowWriter | undefined;
  /** Where the frames begin that are not yet in the Arrow file. */
  private gatheredBytes = 0;
  private failure: StorageError | undefined;
  private writing: Promise<unknown> | undefined;
  /** Bytes that the budget counts for this upload. */
  private heldBytes = 0;
  private written: number;
  isPersisted: boolean;
  nextRow: number;
  durableRowCount: number;
  updateTimeMs = Date.now();

  private constructor(
    private readonly context: RowsContext,
    readonly epoch: Epoch,
  ) {
    const variables = this.record.problem?.variables ?? [];
    this.schema = schemaOf(variables);
    this.blockBytes = blockBytesFor(this.schema.length);
    this.received = new ReceivedRows(this.schema, this.blockBytes);
    this.baseRowCount = Number(this.record.base?.rowCount ?? 0);
    this.nextRow = this.durableRowCount = this.written = this.baseRowCount;
    this.summary = new RunSummary(variables, this.record.base?.columns);
    this.isPersisted = !epoch.isFirst;
  }

  /**
   * Takes an upload up in an epoch of this process. Rows that earlier ones have left are read, and durable when it returns.
   * UPLOAD_TAKEN_OVER where another process has followed meanwhile; RESULT_CORRUPT.
   */
  static async open(context: RowsContext, epoch: Epoch): Promise<FilesystemRows> {
    const rows = new FilesystemRows(context, epoch);
    if (epoch.isFirst) return rows;
    try {
      await rows.goOn();
      return rows;
    } catch (error) {
      await rows.close();
      throw error;
    }
  }

  get record(): UploadRecord {
    return this.epoch.record;
  }

  get sizeBytes(): number {
    return this.frames?.sizeBytes ?? 0;
  }

  private get epochPath(): string {
    return this.context.folder.epochPath(this.epoch.number);
  }

  private async goOn(): Promise<void> {
    const { folder } = this.context;
    const { number } = this.epoch;
    // Row files that were begun are made anew from the frames; first they go, as there may be no room for both.
    for (const epoch of await folder.epochs()) if (epoch < number) await removeRowFiles(folder.epochPath(epoch));
    const waiting: Batch[] = [];
    let waitingBytes = 0;
    const flush = async () => {
      if (waiting.length > 0) await this.addBlock(gatherBatches(this.schema, waiting.splice(0)));
      waitingBytes = 0;
    };
    const before = await partsBefore(folder, number);
    const { parts, unproven } = await readParts(folder, before, this.schema, this.baseRowCount, async (batch) => {
      waiting.push(batch);
      waitingBytes += batchBytes(batch);
      this.nextRow += batch.rowCount;
      if (waitingBytes >= this.blockBytes) await flush();
    });
    await flush();
    await saveBase(folder, number, unproven === undefined ? parts : await this.writeAgain(before, parts, unproven));
    await folder.settle(this.epoch);
    // Who was told of these rows must find them again: only the newest epoch's word counts.
    await this.checkEpoch();
    this.durableRowCount = this.written = this.nextRow;
    await this.frames?.mark(this.durableRowCount).catch(() => undefined);
  }

  /** Writes rows that are not proven into the file of this epoch, durably; gives the parts that count before them. */
  private async writeAgain(before: readonly Part[], parts: readonly Part[], rows: UnprovenRows): Promise<Part[]> {
    const { folder } = this.context;
    // Until they are durable here they count where they are.
    await saveBase(folder, this.epoch.number, before);
    this.frames = await FrameWriter.create(this.epochPath, folder.frameTag);
    for await (const batch of readUnproven(folder, rows, this.schema)) await this.frames.append(batch);
    await this.frames.sync();
    this.gatheredBytes = this.frames.sizeBytes;
    return parts.map((part) => (part.epoch === rows.epoch ? { ...part, endRow: rows.firstRow } : part));
  }

  async append(batch: Batch): Promise<void> {
    this.check();
    const { budget } = this.context;
    const byteLength = batchBytes(batch);
    this.received.add(batch, byteLength);
    this.nextRow += batch.rowCount;
    this.heldBytes += byteLength;
    budget.take(byteLength);
    if (this.received.byteLength >= this.blockBytes || !budget.hasRoom()) {
      // One write runs while the next is gathered; a third waits.
      await this.writing;
      this.writing = this.serial.run(() => this.guarded(() => this.write())).catch(() => undefined);
    }
    await budget.room();
    this.check();
  }

  sync(): Promise<number> {
    return this.serial.run(() =>
      this.guarded(async () => {
        await this.write();
        if (this.written === this.durableRowCount) return this.durableRowCount;
        await this.frames?.sync();
        if (!this.isPersisted) await this.context.folder.settle(this.epoch);
        this.isPersisted = true;
        // After the rows are on stable storage: whoever has followed by now does not count on them.
        await this.checkEpoch();
        this.updateTimeMs = Date.now();
        this.durableRowCount = this.written;
        // Without it the rows are no less durable: only that they were lost could not be told later.
        await this.frames?.mark(this.durableRowCount).catch(() => undefined);
        return this.durableRowCount;
      }),
    );
  }

  /** Fails with UPLOAD_TAKEN_OVER where another epoch has followed. */
  async checkEpoch(): Promise<void> {
    const { folder } = this.context;
    if (!(await folder.isNewest(this.epoch))) throw takenOver(folder.uploadId);
  }

  /** Writes what was received: as frames, and, where it makes a block with what waits, into the Arrow file. */
  private async write(): Promise<void> {
    const batches = this.received.take();
    const taken = this.heldBytes;
    for (const batch of batches) await this.writeFrame(batch);
    this.heldBytes -= taken;
    this.context.budget.give(taken);
  }

  private async writeFrame(batch: Batch): Promise<void> {
    if (this.frames === undefined) {
      this.frames = await FrameWriter.create(this.epochPath, this.context.folder.frameTag);
      // The name of the new file.
      this.isPersisted = false;
    }
    const waitingBytes = this.frames.sizeBytes - this.gatheredBytes;
    const byteLength = batchBytes(batch);
    const isBlock = byteLength >= GATHER_BYTES_MAX || waitingBytes + byteLength >= this.blockBytes;
    const waiting = isBlock && waitingBytes > 0 ? await this.frames.read(this.schema, this.gatheredBytes) : [];
    await this.frames.append(batch);
    this.written = batch.firstRow + batch.rowCount;
    if (!isBlock) return;
    await this.addBlock(gatherBatches(this.schema, [...waiting, batch]));
    this.gatheredBytes = this.frames.sizeBytes;
  }

  private async addBlock(batch: Batch): Promise<void> {
    this.arrow ??= await ArrowWriter.create(
      join(this.epochPath, rowFileName(0)),
      this.record.problem?.variables ?? [],
      aboutOf(this.record),
    );
    const known = checksummed(batch);
    await this.arrow.append(known);
    this.summary.add(known);
  }

  /**
   * Brings all rows into their final form, and describes them behind those that the manifest has. What it gives is to be
   * made together with the manifest. More rows may follow where the commit is refused.
   */
  complete(manifest: Manifest): Promise<Change> {
    return this.serial.run(() =>
      this.guarded(async () => {
        await this.write();
        const { frames } = this;
        if (frames !== undefined && frames.sizeBytes > this.gatheredBytes) {
          const waiting = await frames.read(this.schema, this.gatheredBytes);
          if (waiting.length > 0) await this.addBlock(gatherBatches(this.schema, waiting));
          this.gatheredBytes = frames.sizeBytes;
        }
        manifest.columns = this.summary.summaries();
        const { tag } = this.context.folder;
        return { tag, guard: () => this.checkEpoch(), files: await this.describe(manifest) };
      }),
    );
  }

  private async describe(manifest: Manifest) {
    const { arrow } = this;
    if (arrow === undefined) return [];
    const { fileBytes, sidecarBytes } = await arrow.finish();
    const name = rowFileName(manifest.segments.length);
    const segment = create(SegmentSchema, {
      name,
      firstRow: BigInt(this.baseRowCount),
      rowCount: BigInt(this.written - this.baseRowCount),
      sizeBytes: BigInt(fileBytes),
    });
    manifest.segments = [...manifest.segments, segment];
    manifest.sizeBytes += BigInt(fileBytes + sidecarBytes);
    return [
      { source: arrow.path, name },
      { source: sidecarOf(arrow.path), name: sidecarOf(name) },
    ];
  }

  /** Ends it in this process: nothing more is written. */
  async close(): Promise<void> {
    this.failure ??= new StorageError('UPLOAD_COMMITTED', 'The upload has ended.');
    await this.serial.run(async () => {
      this.drop();
      await this.frames?.[Symbol.asyncDispose]();
      await this.arrow?.[Symbol.asyncDispose]();
      this.frames = this.arrow = undefined;
    });
  }

  /** Ends it in this process; what was received is durable, unless the upload was taken over. */
  async suspend(): Promise<void> {
    if (this.failure === undefined) await this.sync().catch(() => undefined);
    await this.close();
  }

  /** Ends it: what this process knows of the upload may not be so any more. */
  fail(error: unknown): StorageError {
    this.failure ??= toStorageError(error);
    this.drop();
    this.context.failed(this.failure);
    return this.failure;
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  /** After a failed write or fsync nobody knows what the files hold: this epoch acks nothing more. */
  private async guarded<T>(act: () => Promise<T>): Promise<T> {
    this.check();
    try {
      return await act();
    } catch (error) {
      throw this.fail(error);
    }
  }

  private drop(): void {
    this.received.take();
    this.context.budget.give(this.heldBytes);
    this.heldBytes = 0;
  }
}

/** What the schema of a row file says of the whole. */
function aboutOf({ key, problem, uploadId, copyOf }: UploadRecord): ReadonlyMap<string, string> {
  const about = new Map([
    ['optistore.key', key],
    ['optistore.upload_id', copyOf?.uploadId ?? uploadId],
  ]);
  if (problem !== undefined && problem.name !== '') about.set('optistore.problem', problem.name);
  if (problem !== undefined && problem.solver !== '') about.set('optistore.solver', problem.solver);
  return about;
}

/** Removes row files that an epoch has begun: who goes on makes them anew from its frames. */
async function removeRowFiles(epochPath: string): Promise<void> {
  const names = await readdir(epochPath).catch(() => []);
  for (const name of names) if (name.startsWith('rows-')) await unlink(join(epochPath, name)).catch(() => undefined);
}
