import { open, readdir, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { StorageError } from '../../errors.js';
import { JOURNAL_ROTATE_BYTES } from '../../limits.js';
import type { Batch, Schema } from '../../rows/batch.js';
import { readAt, syncDirectoryOf, writeFully } from '../files.js';
import type { FrameHeader } from '../blocks/frame-format.js';
import { decodeFrame, encodeFrame, encodeMark, frameStarts, isMark, parseFrame } from '../blocks/frame-format.js';
import { Serial } from '../serial.js';

const HEAD = Buffer.alloc(64);
HEAD.write('OPTISTORE JOURNAL 1\n', 'latin1');
/** A journal below this is not worth it to be made shorter. */
const SHRUNK_BYTES_MIN = 1024 * 1024;
const NAME = /^(\d{8})\.journal$/;

/** A frame in the journal that is still needed. */
export interface Frame {
  readonly uploadNumber: number;
  readonly firstRow: number;
  readonly rowCount: number;
  readonly byteLength: number;
  /** Changes when the journal starts a new file. */
  offset: number;
}

/**
 * One file that takes the small batches of all uploads, so that one fdatasync acks them all. A frame is needed
 * until its rows are durable in a segment; when most of the file is not, the rest moves to a new one.
 */
export class Journal implements AsyncDisposable {
  private readonly live = new Set<Frame>();
  /** How many rows of uploads are known to be durable, by their numbers. */
  private readonly marks = new Map<number, number>();
  /** Whether there was a journal before it. */
  private hasHead = false;
  private liveBytes = 0;
  private readonly serial = new Serial();
  private running: Promise<void> | undefined;
  private waiting: Promise<void> | undefined;
  private failure: StorageError | undefined;

  private constructor(
    private readonly folder: string,
    private file: FileHandle,
    private number: number,
    private end: number,
  ) {}

  /**
   * Opens the journal of a folder, which is there, and gives every whole frame to `keep`, oldest first. What it keeps, and only
   * that, goes on into a new file; a torn end is dropped, as no ack covers it. `isLost`: there is none, or nothing of it.
   */
  static async open(
    folder: string,
    keep: (header: FrameHeader) => boolean,
  ): Promise<{ journal: Journal; frames: Frame[]; marks: ReadonlyMap<number, number>; isLost: boolean }> {
    const old = (await readdir(folder)).filter((name) => NAME.test(name)).sort();
    const number = Number(NAME.exec(old.at(-1) ?? '')?.[1] ?? 0) + 1;
    const journal = await Journal.create(folder, number);
    const frames: Frame[] = [];
    for (const name of old) await journal.recover(join(folder, name), keep, frames);
    const marks = new Map(journal.marks);
    await journal.writeMarks();
    await journal.file.datasync();
    for (const name of old) await unlink(join(folder, name));
    return { journal, frames, marks, isLost: !journal.hasHead };
  }

  private static async create(folder: string, number: number): Promise<Journal> {
    const path = pathOf(folder, number);
    const file = await open(path, 'wx+', 0o600);
    try {
      await writeFully(file, [HEAD], 0);
      await syncDirectoryOf(path);
    } catch (error) {
      await file.close();
      throw error;
    }
    return new Journal(folder, file, number, HEAD.byteLength);
  }

  private async recover(path: string, keep: (header: FrameHeader) => boolean, frames: Frame[]): Promise<void> {
    await using file = await open(path, 'r');
    const bytes = await readAt(file, 0, (await file.stat()).size);
    this.hasHead ||= bytes.subarray(0, HEAD.byteLength).equals(HEAD);
    for (let at = HEAD.byteLength; at < bytes.byteLength;) {
      const header = parseFrame(bytes.subarray(at));
      if (header === undefined) {
        // A torn end has no whole frame behind it; where one is found, the middle was damaged.
        const next = findFrame(bytes, at + 1);
        if (next === undefined) break;
        at = next;
        continue;
      }
      if (keep(header) && isMark(header)) this.note(header.uploadNumber, header.firstRow);
      else if (keep(header)) frames.push(await this.write(header, [bytes.subarray(at, at + header.byteLength)]));
      at += header.byteLength;
    }
  }

  private async write(header: FrameHeader, buffers: Uint8Array[]): Promise<Frame> {
    const { byteLength, uploadNumber, firstRow, rowCount } = header;
    const offset = this.end;
    await writeFully(this.file, buffers, offset);
    this.end = offset + byteLength;
    const frame = { uploadNumber, firstRow, rowCount, byteLength, offset };
    this.live.add(frame);
    this.liveBytes += byteLength;
    return frame;
  }

  /** Writes rows as a frame. Not durable before `sync`. */
  append(uploadNumber: number, batch: Batch): Promise<Frame> {
    return this.serial.run(async () => {
      this.check();
      if (this.end > JOURNAL_ROTATE_BYTES) await this.renew();
      this.check();
      const { buffers, byteLength } = encodeFrame(uploadNumber, batch);
      const { firstRow, rowCount } = batch;
      return this.write({ byteLength, uploadNumber, firstRow, rowCount }, buffers);
    });
  }

  /**
   * Says that so many rows of an upload are durable, wherever they lie. What it says outlives the process, and the machine with the
   * next sync. Where it can't be written, the rows are no less durable: only that they were lost could not be told later.
   */
  async mark(uploadNumber: number, durableRowCount: number): Promise<void> {
    await this.serial.run(async () => {
      if (this.failure !== undefined) return;
      this.note(uploadNumber, durableRowCount);
      await this.writeMark(uploadNumber, durableRowCount).catch(() => undefined);
    });
  }

  /** Forgets what was said of an upload that has ended. */
  forget(uploadNumber: number): void {
    this.marks.delete(uploadNumber);
  }

  private note(uploadNumber: number, rowCount: number): void {
    this.marks.set(uploadNumber, Math.max(rowCount, this.marks.get(uploadNumber) ?? 0));
  }

  private async writeMarks(): Promise<void> {
    for (const mark of this.marks) await this.writeMark(...mark);
  }

  private async writeMark(uploadNumber: number, rowCount: number): Promise<void> {
    const bytes = encodeMark(uploadNumber, rowCount);
    await writeFully(this.file, [bytes], this.end);
    this.end += bytes.byteLength;
  }

  /** Makes all frames durable that were written before the call. Calls at the same time share one fdatasync. */
  sync(): Promise<void> {
    this.waiting ??= (this.running ?? Promise.resolve()).then(() => {
      this.waiting = undefined;
      this.running = this.serial
        .run(() => {
          this.check();
          return this.file.datasync();
        })
        .catch((error: unknown) => {
          throw this.fail(error);
        });
      return this.running;
    });
    return this.waiting;
  }

  /** Reads frames back. */
  read(frames: readonly Frame[], schema: Schema): Promise<Batch[]> {
    return this.serial.run(async () => {
      const batches: Batch[] = [];
      for (const frame of frames) {
        const bytes = await readAt(this.file, frame.offset, frame.byteLength);
        if (parseFrame(bytes) === undefined) throw damaged(frame);
        batches.push(decodeFrame(bytes, schema));
      }
      return batches;
    });
  }

  /**
   * Reads a frame back without making writers wait; undefined where it is no longer needed, or no longer open. A new file
   * may take it over meanwhile: then it is read there.
   */
  async readBeside(frame: Frame, schema: Schema): Promise<Batch | undefined> {
    while (this.live.has(frame)) {
      const { file } = this;
      const { offset } = frame;
      const bytes = await readAt(file, offset, frame.byteLength).catch((error: unknown) => error);
      const header = Buffer.isBuffer(bytes) ? parseFrame(bytes) : undefined;
      if (header?.uploadNumber === frame.uploadNumber && header.firstRow === frame.firstRow)
        return decodeFrame(bytes as Buffer, schema);
      if (file !== this.file || !this.live.has(frame)) continue;
      if (file.fd < 0) return undefined;
      throw Buffer.isBuffer(bytes) ? damaged(frame) : bytes;
    }
    return undefined;
  }

  /** Says that frames are no longer needed. */
  release(frames: readonly Frame[]): void {
    for (const frame of frames) if (this.live.delete(frame)) this.liveBytes -= frame.byteLength;
  }

  /** Gives the room back of frames that are no longer needed, where they are most of the file. */
  shrink(): Promise<void> {
    return this.serial.run(async () => {
      if (this.failure === undefined && this.end > SHRUNK_BYTES_MIN) await this.renew();
    });
  }

  /** Where it fails, for want of room, this file goes on. */
  private async renew(): Promise<void> {
    if (this.liveBytes >= this.end / 2) return;
    const number = this.number + 1;
    let next: Journal | undefined;
    try {
      next = await Journal.create(this.folder, number);
      await this.rotate(next);
    } catch {
      if (this.number === number) return;
      await next?.file.close().catch(() => undefined);
      await unlink(pathOf(this.folder, number)).catch(() => undefined);
    }
  }

  private async rotate(next: Journal): Promise<void> {
    const moved: [Frame, number][] = [];
    for (const frame of this.live) {
      const bytes = await readAt(this.file, frame.offset, frame.byteLength);
      if (parseFrame(bytes) === undefined) throw this.fail(new Error(`journal frame at ${frame.offset} is damaged`));
      const copy = await next.write(frame, [bytes]);
      moved.push([frame, copy.offset]);
    }
    for (const mark of this.marks) await next.writeMark(...mark);
    await next.file.datasync();
    const old = this.file;
    const oldNumber = this.number;
    for (const [frame, offset] of moved) frame.offset = offset;
    this.file = next.file;
    this.number = next.number;
    this.end = next.end;
    await old.close();
    await unlink(pathOf(this.folder, oldNumber));
  }

  /** After a failed write or fsync nobody knows what the file holds: nothing is acked on it any more. */
  private fail(error: unknown): StorageError {
    this.failure ??= new StorageError(
      'BACKEND_UNAVAILABLE',
      'The journal could not be written. Acknowledged rows are safe; mend the disk and restart the daemon.',
      { cause: error },
    );
    return this.failure;
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  /** Why it takes no more rows; undefined while it does. */
  get failed(): StorageError | undefined {
    return this.failure;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.serial.run(() => this.file.close());
  }
}

function pathOf(folder: string, number: number): string {
  return join(folder, `${String(number).padStart(8, '0')}.journal`);
}

function damaged({ firstRow }: Frame): StorageError {
  return new StorageError('RESULT_CORRUPT', `The journal is damaged at rows from ${firstRow}.`);
}

function findFrame(bytes: Buffer, from: number): number | undefined {
  for (const at of frameStarts(bytes, from)) if (parseFrame(bytes.subarray(at)) !== undefined) return at;
  return undefined;
}

/** Frames of each upload, by its number. */
export function framesByUpload(frames: readonly Frame[]): Map<number, Frame[]> {
  const byUpload = new Map<number, Frame[]>();
  for (const frame of frames) {
    const own = byUpload.get(frame.uploadNumber);
    if (own === undefined) byUpload.set(frame.uploadNumber, [frame]);
    else own.push(frame);
  }
  return byUpload;
}
