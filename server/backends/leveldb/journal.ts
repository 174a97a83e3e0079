import { open, readdir, readFile, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { StorageError, toStorageError } from '../../errors.js';
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

/** The place of a frame that could not be read any more when its file was left. */
const LOST = -1;

/** A frame in the journal that is still needed. */
export interface Frame {
  readonly uploadNumber: number;
  readonly firstRow: number;
  readonly rowCount: number;
  readonly byteLength: number;
  /** Changes when the journal starts a new file. */
  offset: number;
}

/** Whether a frame is gone with the file that it was in. */
export function isLost({ offset }: Frame): boolean {
  return offset === LOST;
}

/** A frame that was found, with the CRC-32 that it has. */
interface FoundFrame {
  readonly frame: Frame;
  readonly crc: number;
}

/**
 * One file that takes the small batches of all uploads, so that one fdatasync acks them all. A frame is needed
 * until its rows are durable in a segment; when most of the file is not, the rest moves to a new one. So it does when a
 * sync has failed: what that file holds then nobody knows, and nothing is acked on it any more.
 */
export class Journal implements AsyncDisposable {
  private readonly live = new Set<Frame>();
  /** How many rows of uploads are known to be durable, by their numbers. */
  private readonly marks = new Map<number, number>();
  private liveBytes = 0;
  private readonly serial = new Serial();
  private running: Promise<void> | undefined;
  private waiting: Promise<void> | undefined;
  /** Why the file is given up, and no other could be begun yet. */
  private failure: StorageError | undefined;
  /** The number of the last file that was tried. */
  private lastNumber: number;

  private constructor(
    private readonly folder: string,
    private file: FileHandle,
    private number: number,
    private end: number,
  ) {
    this.lastNumber = number;
  }

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
    const files = await Promise.all(old.map((name) => readFile(join(folder, name))));
    const begun = files.filter((bytes) => bytes.subarray(0, HEAD.byteLength).equals(HEAD));
    const frames = new Map<number, FoundFrame[]>();
    for (const bytes of begun.length > 0 ? begun : files) await journal.recover(bytes, keep, frames);
    const marks = new Map(journal.marks);
    await journal.begin();
    for (const name of old) await unlink(join(folder, name));
    const found = [...frames.values()].flat().map(({ frame }) => frame);
    return { journal, frames: found, marks, isLost: begun.length === 0 };
  }

  private static async create(folder: string, number: number): Promise<Journal> {
    const path = pathOf(folder, number);
    const file = await open(path, 'wx+', 0o600);
    try {
      await syncDirectoryOf(path);
    } catch (error) {
      await file.close();
      await unlink(path).catch(() => undefined);
      throw error;
    }
    return new Journal(folder, file, number, HEAD.byteLength);
  }

  /** Makes a file count: it has all that is needed of those before it. One without a head was left while it was made. */
  private async begin(): Promise<void> {
    for (const mark of this.marks) await this.writeMark(...mark);
    await this.file.datasync();
    await writeFully(this.file, [HEAD], 0);
    await this.file.datasync();
  }

  private async recover(
    bytes: Buffer,
    keep: (header: FrameHeader) => boolean,
    frames: Map<number, FoundFrame[]>,
  ): Promise<void> {
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
      else if (keep(header)) await this.take(header, bytes.subarray(at, at + header.byteLength), frames);
      at += header.byteLength;
    }
  }

  /** Takes a frame over, in the place of those that were given up before it was written. */
  private async take(header: FrameHeader, bytes: Buffer, frames: Map<number, FoundFrame[]>): Promise<void> {
    const { uploadNumber, firstRow, crc } = header;
    const own = frames.get(uploadNumber) ?? [];
    frames.set(uploadNumber, own);
    if ((own.at(-1)?.frame.firstRow ?? -1) >= firstRow) {
      // The file that it was copied from is still there.
      if (own.some((found) => found.crc === crc && found.frame.firstRow === firstRow)) return;
      // An upload whose sync has failed goes on behind the rows that are safe: what was written from there on was never acked.
      const given = own.findIndex(({ frame }) => frame.firstRow >= firstRow);
      this.release(own.splice(given).map(({ frame }) => frame));
    }
    own.push({ crc, frame: await this.write(header, [bytes]) });
  }

  private async write(header: Omit<FrameHeader, 'crc'>, buffers: Uint8Array[]): Promise<Frame> {
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
      if (this.failure !== undefined) await this.leave();
      else if (this.end > JOURNAL_ROTATE_BYTES) await this.renew();
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

  private async writeMark(uploadNumber: number, rowCount: number): Promise<void> {
    const bytes = encodeMark(uploadNumber, rowCount);
    await writeFully(this.file, [bytes], this.end);
    this.end += bytes.byteLength;
  }

  /** Makes all frames durable that were written before the call. Calls at the same time share one fdatasync. */
  sync(): Promise<void> {
    const next = (): Promise<void> => {
      this.waiting = undefined;
      this.running = this.serial.run(() => this.syncFile());
      return this.running;
    };
    this.waiting ??= (this.running ?? Promise.resolve()).then(next, next);
    return this.waiting;
  }

  private async syncFile(): Promise<void> {
    if (this.failure === undefined) {
      try {
        return await this.file.datasync();
      } catch (error) {
        this.failure = unwritable(error);
      }
    }
    await this.leave();
  }

  /** Goes on in another file, where all frames that are needed are durable when it returns. */
  private async leave(): Promise<void> {
    try {
      await this.moveOn();
    } catch (error) {
      this.failure = unwritable(error);
      throw this.failure;
    }
    this.failure = undefined;
  }

  /** Reads frames back. */
  read(frames: readonly Frame[], schema: Schema): Promise<Batch[]> {
    return this.serial.run(async () => {
      const batches: Batch[] = [];
      for (const frame of frames) {
        if (isLost(frame)) throw damaged(frame);
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
      if (isLost(frame)) throw damaged(frame);
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
    if (this.liveBytes < this.end / 2) await this.moveOn().catch(() => undefined);
  }

  /** Moves what is needed to a new file, durably, and leaves the one before. */
  private async moveOn(): Promise<void> {
    // What a try before has left of a file may still be there.
    const next = await Journal.create(this.folder, ++this.lastNumber);
    const moved: [Frame, number][] = [];
    try {
      for (const frame of this.live) moved.push([frame, await this.copyTo(next, frame)]);
      for (const mark of this.marks) next.note(...mark);
      await next.begin();
    } catch (error) {
      await next.file.close();
      await unlink(pathOf(this.folder, next.number)).catch(() => undefined);
      throw error;
    }
    const old = pathOf(this.folder, this.number);
    const { file } = this;
    for (const [frame, offset] of moved) frame.offset = offset;
    this.file = next.file;
    this.number = next.number;
    this.end = next.end;
    // Where it can't be removed, the next start finds the same frames twice.
    await file.close().catch(() => undefined);
    await unlink(old).catch(() => undefined);
  }

  /** Gives its place there. */
  private async copyTo(next: Journal, frame: Frame): Promise<number> {
    if (isLost(frame)) return LOST;
    const bytes = await readAt(this.file, frame.offset, frame.byteLength);
    // Only its upload suffers.
    if (parseFrame(bytes) === undefined) return LOST;
    return (await next.write(frame, [bytes])).offset;
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

/** The error of a journal that could not be begun anew either. */
function unwritable(error: unknown): StorageError {
  const { reason, message } = toStorageError(error);
  return new StorageError(
    reason === 'DISK_FULL' ? reason : 'BACKEND_UNAVAILABLE',
    `The journal could not be written, nor another one in its place. Acknowledged rows are safe, and it is tried again with the next rows. ${message}`,
    { cause: error },
  );
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
