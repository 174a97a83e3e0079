import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { JsonValue } from '@bufbuild/protobuf';
import type { Batch, Schema } from '../../rows/batch.js';
import { corrupt } from '../blocks/block-format.js';
import { readAt, writeFully } from '../files.js';
import type { FrameHeader } from '../blocks/frame-format.js';
import { decodeFrame, encodeFrame, FRAME_HEADER_BYTES, frameSizeOf, parseFrame } from '../blocks/frame-format.js';
import { decodeJson, encodeJson } from './checked-json.js';
import { createFile, ifThere, readIfThere, replaceFile } from './durable-files.js';
import { FRAMES_FILE, type UploadFolder } from './upload-folder.js';

/** Rows of one epoch that count: those before `endRow`. */
export interface Part {
  readonly epoch: number;
  readonly endRow: number;
}

const BASE_FILE = 'base.json';
const READ_BYTES = 1024 * 1024;

/** Appends frames of rows to a file. Calls are not made concurrently. */
export class FrameWriter implements AsyncDisposable {
  sizeBytes = 0;

  private constructor(private readonly file: FileHandle) {}

  /** Creates the file of an epoch. */
  static async create(epochPath: string): Promise<FrameWriter> {
    return new FrameWriter(await createFile(join(epochPath, FRAMES_FILE)));
  }

  /** Writes rows; gives their bytes. Not durable before `sync`. */
  async append(batch: Batch): Promise<number> {
    const { buffers, byteLength } = encodeFrame(0, batch);
    await writeFully(this.file, buffers, this.sizeBytes);
    this.sizeBytes += byteLength;
    return byteLength;
  }

  /** Makes all durable that was written before the call. */
  sync(): Promise<void> {
    return this.file.datasync();
  }

  /** Reads the rows back that were written from a place on. */
  async read(schema: Schema, from: number): Promise<Batch[]> {
    const batches: Batch[] = [];
    for await (const batch of readFrames(this.file, schema, from)) batches.push(batch);
    return batches;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.file.close();
  }
}

/** Reads the rows of a file in order, up to the first frame that does not check: a write that was torn. */
export async function* readFrames(file: FileHandle, schema: Schema, from = 0): AsyncGenerator<Batch> {
  for await (const { bytes } of wholeFrames(file, from)) yield decodeFrame(bytes, schema);
}

/** A frame that checks, and where it lies. */
export interface WholeFrame {
  readonly header: FrameHeader;
  readonly bytes: Buffer;
  readonly at: number;
}

/** Reads the frames of a file in order from a place on, up to the first that does not check. */
export async function* wholeFrames(file: FileHandle, from: number): AsyncGenerator<WholeFrame> {
  const { size } = await file.stat();
  let bytes: Buffer = Buffer.alloc(0);
  for (let at = from; at < size;) {
    if (bytes.byteLength < (frameSizeOf(bytes)?.byteLength ?? FRAME_HEADER_BYTES)) {
      bytes = await readAt(file, at, Math.min(READ_BYTES, size - at));
      const { byteLength } = frameSizeOf(bytes) ?? { byteLength: 0 };
      if (byteLength > size - at) return;
      if (byteLength > bytes.byteLength) bytes = await readAt(file, at, byteLength);
    }
    const header = parseFrame(bytes);
    if (header === undefined) return;
    yield { header, bytes: bytes.subarray(0, header.byteLength), at };
    at += header.byteLength;
    bytes = bytes.subarray(header.byteLength);
  }
}

/** What an epoch goes on from; undefined where its process ended before it knew. RESULT_CORRUPT. */
async function loadBase(folder: UploadFolder, epoch: number): Promise<Part[] | undefined> {
  const file = join(folder.epochPath(epoch), BASE_FILE);
  const bytes = await readIfThere(file);
  if (bytes === undefined) return (await folder.load(epoch))?.isFirst === true ? [] : undefined;
  return (decodeJson(bytes, file)['parts'] as Record<string, JsonValue>[]).map((part) => ({
    epoch: Number(part['epoch']),
    endRow: Number(part['end_row']),
  }));
}

/** Writes what an epoch goes on from, durably: later ones stay with it, also when older processes still write. */
export function saveBase(folder: UploadFolder, epoch: number, parts: readonly Part[]): Promise<void> {
  const content = { parts: parts.map(({ epoch: number, endRow }) => ({ epoch: number, end_row: endRow })) };
  return replaceFile(folder.epochPath(epoch), BASE_FILE, encodeJson(content));
}

/** The parts that count before an epoch: what the newest process that had the upload went on from, then its own. */
export async function partsBefore(folder: UploadFolder, before: number): Promise<Part[]> {
  for (const epoch of (await folder.epochs()).reverse()) {
    if (epoch >= before) continue;
    const base = await loadBase(folder, epoch);
    if (base !== undefined) return [...base, { epoch, endRow: Infinity }];
  }
  return [];
}

/**
 * Reads the rows that parts have, from a row on, and makes them durable: their process may have ended before it did. Gives
 * the parts with the rows that they really have. RESULT_CORRUPT where rows are lacking that were there once.
 */
export async function readParts(
  folder: UploadFolder,
  parts: readonly Part[],
  schema: Schema,
  firstRow: number,
  add: (batch: Batch) => Promise<void>,
): Promise<Part[]> {
  const read: Part[] = [];
  let nextRow = firstRow;
  for (const { epoch, endRow } of parts) {
    const path = join(folder.epochPath(epoch), FRAMES_FILE);
    const file = await ifThere(open(path, 'r'));
    if (file !== undefined) {
      await using frames = file;
      for await (const batch of readFrames(frames, schema)) {
        // A process that was fenced has written them.
        if (batch.firstRow !== nextRow || nextRow + batch.rowCount > endRow) break;
        await add(batch);
        nextRow += batch.rowCount;
      }
      await frames.datasync();
    }
    if (endRow !== Infinity && nextRow !== endRow) throw corrupt(`${path}, rows ${nextRow} to ${endRow - 1}`);
    read.push({ epoch, endRow: nextRow });
  }
  return read;
}

/** How many rows an upload has, by what its frames say of themselves. */
export async function countRows(folder: UploadFolder, firstRow: number): Promise<number> {
  const parts = await partsBefore(folder, Infinity);
  const last = parts.at(-1);
  let count = parts.at(-2)?.endRow ?? firstRow;
  const file = last && (await ifThere(open(join(folder.epochPath(last.epoch), FRAMES_FILE), 'r')));
  if (file === undefined) return count;
  await using frames = file;
  const { size } = await frames.stat();
  for (let at = 0; at < size;) {
    const frame = frameSizeOf(await readAt(frames, at, FRAME_HEADER_BYTES));
    if (frame === undefined || at + frame.byteLength > size) break;
    count += frame.rowCount;
    at += frame.byteLength;
  }
  return count;
}
