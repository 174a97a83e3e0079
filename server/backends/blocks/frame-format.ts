import { crc32 } from '../../rows/checksum.js';
import type { Batch, Column, Schema } from '../../rows/batch.js';
import { bitmapBytes, columnBuffers, valueWidth } from '../../rows/batch.js';

/**
 * A frame of the journal: a few rows of one upload. 28 bytes of header, one bit a column that says whether it
 * has a validity bitmap, then the columns' buffers without padding; the CRC-32 goes over all behind it.
 */
const FRAME_TITLE = Buffer.from('FRM1', 'latin1');
const FRAME_MAGIC = FRAME_TITLE.readUInt32LE(0);
export const FRAME_HEADER_BYTES = 28;

/** What a frame's header says. */
export interface FrameHeader {
  readonly byteLength: number;
  readonly uploadNumber: number;
  readonly firstRow: number;
  readonly rowCount: number;
  readonly crc: number;
}

/** Encodes rows as buffers to be written one after the other. */
export function encodeFrame(uploadNumber: number, batch: Batch): { buffers: Uint8Array[]; byteLength: number } {
  const head = Buffer.alloc(FRAME_HEADER_BYTES + bitmapBytes(batch.columns.length));
  const buffers: Uint8Array[] = [head];
  let byteLength = head.byteLength;
  for (const [i, column] of batch.columns.entries()) {
    const at = FRAME_HEADER_BYTES + (i >>> 3);
    if (column.validity !== undefined) head[at] = (head[at] ?? 0) | (1 << (i & 7));
    for (const buffer of columnBuffers(column)) {
      buffers.push(buffer);
      byteLength += buffer.byteLength;
    }
  }
  head.writeUInt32LE(FRAME_MAGIC, 0);
  head.writeUInt32LE(byteLength, 8);
  head.writeUInt32LE(uploadNumber, 12);
  head.writeUInt32LE(batch.rowCount, 16);
  head.writeBigUInt64LE(BigInt(batch.firstRow), 20);
  let crc = crc32(head.subarray(8));
  for (let i = 1; i < buffers.length; i++) crc = crc32(buffers[i] as Uint8Array, crc);
  head.writeUInt32LE(crc, 4);
  return { buffers, byteLength };
}

/**
 * A frame without rows or columns, which says how many rows of an upload are on stable storage: written behind them, it tells that
 * they are lost from that they were never there.
 */
export function encodeMark(uploadNumber: number, durableRowCount: number): Buffer {
  const head = Buffer.alloc(FRAME_HEADER_BYTES);
  head.writeUInt32LE(FRAME_MAGIC, 0);
  head.writeUInt32LE(FRAME_HEADER_BYTES, 8);
  head.writeUInt32LE(uploadNumber, 12);
  head.writeBigUInt64LE(BigInt(durableRowCount), 20);
  head.writeUInt32LE(crc32(head.subarray(8)), 4);
  return head;
}

/** Whether a frame is a mark; `firstRow` is then the number of rows that are durable. */
export function isMark({ byteLength, rowCount }: Pick<FrameHeader, 'byteLength' | 'rowCount'>): boolean {
  return byteLength === FRAME_HEADER_BYTES && rowCount === 0;
}

/** Where frames may begin in bytes, from a place on. Not checked. */
export function* frameStarts(bytes: Buffer, from = 0): Generator<number> {
  for (let at = bytes.indexOf(FRAME_TITLE, from); at >= 0; at = bytes.indexOf(FRAME_TITLE, at + 1)) yield at;
}

/** A frame's length and rows, by the header alone; undefined where none begins. Not checked. */
export function frameSizeOf(bytes: Buffer): { byteLength: number; rowCount: number } | undefined {
  if (bytes.byteLength < FRAME_HEADER_BYTES || bytes.readUInt32LE(0) !== FRAME_MAGIC) return undefined;
  const byteLength = bytes.readUInt32LE(8);
  return byteLength < FRAME_HEADER_BYTES ? undefined : { byteLength, rowCount: bytes.readUInt32LE(16) };
}

/** Reads the header of the frame at the beginning of the bytes; undefined unless the whole frame is there and checks. */
export function parseFrame(bytes: Buffer): FrameHeader | undefined {
  if (bytes.byteLength < FRAME_HEADER_BYTES || bytes.readUInt32LE(0) !== FRAME_MAGIC) return undefined;
  const byteLength = bytes.readUInt32LE(8);
  if (byteLength < FRAME_HEADER_BYTES || byteLength > bytes.byteLength) return undefined;
  if (crc32(bytes.subarray(8, byteLength)) !== bytes.readUInt32LE(4)) return undefined;
  return {
    byteLength,
    uploadNumber: bytes.readUInt32LE(12),
    rowCount: bytes.readUInt32LE(16),
    firstRow: Number(bytes.readBigUInt64LE(20)),
    crc: bytes.readUInt32LE(4),
  };
}

/** The rows of a frame that checks. Their buffers are views into the bytes. */
export function decodeFrame(bytes: Buffer, schema: Schema): Batch {
  const rowCount = bytes.readUInt32LE(16);
  const firstRow = Number(bytes.readBigUInt64LE(20));
  let at = FRAME_HEADER_BYTES + bitmapBytes(schema.length);
  const take = (byteLength: number): Uint8Array => bytes.subarray(at, (at += byteLength));
  const columns = schema.map((type, i): Column => {
    const width = valueWidth(type);
    const offsets = width === undefined ? take((rowCount + 1) * 4) : undefined;
    const valuesBytes =
      offsets === undefined
        ? rowCount * (width ?? 0)
        : Buffer.from(offsets.buffer, offsets.byteOffset, offsets.byteLength).readUInt32LE(rowCount * 4);
    const values = take(valuesBytes);
    const hasValidity = ((bytes[FRAME_HEADER_BYTES + (i >>> 3)] ?? 0) >>> (i & 7)) & 1;
    return { values, offsets, validity: hasValidity === 1 ? take(bitmapBytes(rowCount)) : undefined };
  });
  return { firstRow, rowCount, columns };
}
