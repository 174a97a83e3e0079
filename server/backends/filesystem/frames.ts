import { open, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { JsonValue } from '@bufbuild/protobuf';
import type { Batch, Schema } from '../../rows/batch.js';
import { corrupt } from '../blocks/block-format.js';
import { ifThere, readAt, writeFully } from '../files.js';
import type { FrameHeader } from '../blocks/frame-format.js';
import {
  decodeFrame,
  encodeFrame,
  encodeMark,
  FRAME_HEADER_BYTES,
  frameSizeOf,
  frameStarts,
  isMark,
  parseFrame,
} from '../blocks/frame-format.js';
import { decodeJson, encodeJson } from './checked-json.js';
import { rowsLost } from '../uploads/upload-errors.js';
import { createFile, readIfThere, replaceFile } from './durable-files.js';
import { FRAMES_FILE, type UploadFolder } from './upload-folder.js';

/** Rows of one epoch that count: those before `endRow`; Infinity: as far as its frames go. */
export interface Part {
  readonly epoch: number;
  readonly endRow: number;
}

/** Rows that an epoch has left, from a place of its file on, of which nothing says that they ever were durable. */
export interface UnprovenRows {
  readonly epoch: number;
  readonly at: number;
  readonly firstRow: number;
  readonly endRow: number;
}

const BASE_FILE = 'base.json';
const READ_BYTES = 1024 * 1024;

/** Appends frames of rows to a file. Calls are not made concurrently. */
export class FrameWriter implements AsyncDisposable {
  sizeBytes = 0;

  private constructor(
    private readonly file: FileHandle,
    private readonly tag: number,
  ) {}

  /** Creates the file of an epoch; `tag`: UploadFolder.frameTag. */
  static async create(epochPath: string, tag: number): Promise<FrameWriter> {
    return new FrameWriter(await createFile(join(epochPath, FRAMES_FILE)), tag);
  }

  /** Writes rows; gives their bytes. Not durable before `sync`. */
  async append(batch: Batch): Promise<number> {
    const { buffers, byteLength } = encodeFrame(this.tag, batch);
    await writeFully(this.file, buffers, this.sizeBytes);
    this.sizeBytes += byteLength;
    return byteLength;
  }

  /** Says behind rows that are durable that they are: it outlives the process. */
  async mark(durableRowCount: number): Promise<void> {
    const bytes = encodeMark(this.tag, durableRowCount);
    await writeFully(this.file, [bytes], this.sizeBytes);
    this.sizeBytes += bytes.byteLength;
  }

  /** Makes all durable that was written before the call. */
  sync(): Promise<void> {
    return this.file.datasync();
  }

  /** Reads the rows back that were written from a place on. */
  async read(schema: Schema, from: number): Promise<Batch[]> {
    const batches: Batch[] = [];
    for await (const batch of readFrames(this.file, schema, this.tag, from)) batches.push(batch);
    return batches;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.file.close();
  }
}

/** Reads the rows of a file in order, up to the first frame that does not check: a write that was torn. */
export async function* readFrames(file: FileHandle, schema: Schema, tag: number, from = 0): AsyncGenerator<Batch> {
  for await (const { header, bytes } of wholeFrames(file, tag, from))
    if (!isMark(header)) yield decodeFrame(bytes, schema);
}

/** A frame that checks, and where it lies. */
export interface WholeFrame {
  readonly header: FrameHeader;
  readonly bytes: Buffer;
  readonly at: number;
}

/** Reads the frames of a file in order from a place on, up to the first that does not check. RESULT_CORRUPT: of another upload. */
export async function* wholeFrames(file: FileHandle, tag: number, from: number): AsyncGenerator<WholeFrame> {
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
    if (header.uploadNumber !== 0 && header.uploadNumber !== tag) throw corrupt('rows of another upload');
    yield { header, bytes: bytes.subarray(0, header.byteLength), at };
    at += header.byteLength;
    bytes = bytes.subarray(header.byteLength);
  }
}

/** What an epoch goes on from; undefined where its process ended before it knew. RESULT_CORRUPT. */
async function loadBase(folder: UploadFolder, epoch: number): Promise<Part[] | undefined> {
  const file = join(folder.epochPath(epoch), BASE_FILE);
  const bytes = await readIfThere(file);
  if (bytes === undefined) {
    if ((await folder.load(epoch))?.isFirst === true) return [];
    // It is written before the first row.
    const frames = join(folder.epochPath(epoch), FRAMES_FILE);
    if ((await ifThere(stat(frames))) !== undefined) throw corrupt(`${file} is lacking`);
    return undefined;
  }
  return (decodeJson(bytes, file)['parts'] as Record<string, JsonValue>[]).map((part) => ({
    epoch: Number(part['epoch']),
    endRow: Number(part['end_row'] ?? Infinity),
  }));
}

/** Writes what an epoch goes on from, durably: later ones stay with it, also when older processes still write. */
export function saveBase(folder: UploadFolder, epoch: number, parts: readonly Part[]): Promise<void> {
  const content = {
    parts: parts.map(({ epoch: number, endRow }) =>
      endRow === Infinity ? { epoch: number } : { epoch: number, end_row: endRow },
    ),
  };
  return replaceFile(folder.epochPath(epoch), BASE_FILE, encodeJson(content));
}

const LEFT_FILE = 'left.json';

/** Says, durably, how many rows an upload had when its process let it go: all are there, or some are lost. */
export function saveLeft(folder: UploadFolder, epoch: number, rowCount: number): Promise<void> {
  return replaceFile(folder.epochPath(epoch), LEFT_FILE, encodeJson({ epoch, tag: folder.tag, rows: rowCount }));
}

/** How many rows were durable when an epoch was let go; 0 where nothing tells. */
export async function loadLeft(folder: UploadFolder, epoch: number): Promise<number> {
  const path = join(folder.epochPath(epoch), LEFT_FILE);
  const bytes = await readIfThere(path);
  if (bytes === undefined) return 0;
  const left = decodeJson(bytes, path);
  if (left['epoch'] !== epoch || left['tag'] !== folder.tag) throw corrupt(`${path} is that of another upload`);
  return Number(left['rows']);
}

/**
 * Fails where an epoch had more rows that were acked than are found, which end at `endBytes` of its file, or have no file. By what was left
 * when it was let go, and by the marks behind what does not check. RESULT_CORRUPT.
 */
export async function checkAcked(
  folder: UploadFolder,
  epoch: number,
  rowCount: number,
  found: { file: FileHandle; endBytes: number } | undefined,
): Promise<void> {
  let acked = await loadLeft(folder, epoch);
  if (found !== undefined && rowCount >= acked) acked = await markedRows(found.file, found.endBytes);
  if (rowCount < acked)
    throw rowsLost((await folder.load(epoch))?.record ?? { uploadId: folder.uploadId, key: '' }, rowCount);
}

/** The greatest number of rows that marks behind a place speak of. */
async function markedRows(file: FileHandle, from: number): Promise<number> {
  const { size } = await file.stat();
  let rowCount = 0;
  for (let start = from; start + FRAME_HEADER_BYTES <= size; start += READ_BYTES) {
    // A mark may lie across two pieces.
    const bytes = await readAt(file, start, Math.min(READ_BYTES + FRAME_HEADER_BYTES - 1, size - start));
    for (const at of frameStarts(bytes)) {
      const header = parseFrame(bytes.subarray(at, at + FRAME_HEADER_BYTES));
      if (header !== undefined && isMark(header)) rowCount = Math.max(rowCount, header.firstRow);
    }
  }
  return rowCount;
}

/** The parts that count before an epoch: what the newest process that had the upload went on from, then its own. */
export async function partsBefore(folder: UploadFolder, before: number): Promise<Part[]> {
  for (const epoch of (await folder.epochs()).reverse()) {
    if (epoch >= before) continue;
    const base = await loadBase(folder, epoch);
    if (base === undefined) continue;
    // It had only begun to write rows again that the one before it has.
    return base.at(-1)?.endRow === Infinity ? base : [...base, { epoch, endRow: Infinity }];
  }
  return [];
}

/**
 * Reads the rows that parts have, from a row on. Gives the parts with the rows that they really have, and those of the last one that
 * are not proven: their process may have ended, or failed, before they were durable, and a sync that fails once may succeed the next
 * time though the rows are lost. RESULT_CORRUPT where rows are lacking that were there once.
 */
export async function readParts(
  folder: UploadFolder,
  parts: readonly Part[],
  schema: Schema,
  firstRow: number,
  add: (batch: Batch) => Promise<void>,
): Promise<{ parts: Part[]; unproven: UnprovenRows | undefined }> {
  const read: Part[] = [];
  let nextRow = firstRow;
  let unproven: UnprovenRows | undefined;
  for (const { epoch, endRow } of parts) {
    const path = join(folder.epochPath(epoch), FRAMES_FILE);
    const file = await ifThere(open(path, 'r'));
    if (file !== undefined) {
      await using frames = file;
      let endBytes = 0;
      let proven = { at: 0, firstRow: nextRow };
      for await (const { header, bytes, at } of wholeFrames(frames, folder.frameTag, 0)) {
        endBytes = at + header.byteLength;
        if (isMark(header) && header.firstRow >= nextRow) proven = { at: endBytes, firstRow: nextRow };
        if (isMark(header)) continue;
        // A process that was fenced has written them.
        if (header.firstRow !== nextRow || nextRow + header.rowCount > endRow) break;
        await add(decodeFrame(bytes, schema));
        nextRow += header.rowCount;
      }
      if (endRow === Infinity) await checkAcked(folder, epoch, nextRow, { file: frames, endBytes });
      const isProven = endRow !== Infinity || nextRow === proven.firstRow || (await loadLeft(folder, epoch)) >= nextRow;
      if (!isProven) unproven = { epoch, ...proven, endRow: nextRow };
    } else if (endRow === Infinity) await checkAcked(folder, epoch, nextRow, undefined);
    if (endRow !== Infinity && nextRow !== endRow) throw corrupt(`${path}, rows ${nextRow} to ${endRow - 1}`);
    read.push({ epoch, endRow: nextRow });
  }
  return { parts: read, unproven };
}

/** Reads rows again that are not proven, as readParts has found them. */
export async function* readUnproven(folder: UploadFolder, rows: UnprovenRows, schema: Schema): AsyncGenerator<Batch> {
  await using frames = await open(join(folder.epochPath(rows.epoch), FRAMES_FILE), 'r');
  for await (const batch of readFrames(frames, schema, folder.frameTag, rows.at)) {
    if (batch.firstRow >= rows.endRow) return;
    yield batch;
  }
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
