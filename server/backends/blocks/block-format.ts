import { StorageError } from '../../errors.js';
import { aligned, ALIGNMENT_BYTES } from '../../rows/alignment.js';
import { crc32, crc32Combine } from '../../rows/checksum.js';
import type { Batch, Column } from '../../rows/batch.js';
import { inOnePiece, type PiecedBatch, type PiecedColumn } from '../../rows/gather.js';

/**
 * A segment: a 64-byte head, blocks, and once committed the directory of its blocks. A block: a header
 * with the length and CRC-32 of each buffer, then the buffers in the order of the columns. Header and
 * buffers begin at multiples of 64 bytes. All numbers little-endian.
 */
export const SEGMENT_HEAD_BYTES = ALIGNMENT_BYTES;
const SEGMENT_TITLE = 'OPTISTORE SEGMENT 1\n';

/** The head of a segment: with its name, so that one which took the place of another is known. */
export function segmentHead(name: string): Buffer {
  const head = Buffer.alloc(SEGMENT_HEAD_BYTES);
  head.write(SEGMENT_TITLE + name, 'latin1');
  return head;
}

/** The name in the head of a segment, or '' in one of version 0.1; undefined where it is no such head. */
export function nameInHead(head: Buffer): string | undefined {
  const [, name] = /^OPTISTORE SEGMENT 1\n([0-9a-z.]*)\0*$/.exec(head.toString('latin1')) ?? [];
  return name;
}

/** RESULT_CORRUPT where a head is not that of a segment; one of version 0.1 has no name. */
export function checkSegmentHead(head: Buffer, name: string): void {
  const named = nameInHead(head);
  if (named !== name && named !== '') throw corrupt(`the head of ${name}`);
}

const BLOCK_MAGIC = 0x314b4c42; // 'BLK1'
const FIXED_HEADER_BYTES = 48;
const DIRECTORY_MAGIC = 0x31524944; // 'DIR1'
const DIRECTORY_ENTRY_BYTES = 32;
const HAS_OFFSETS = 1;
const HAS_VALIDITY = 2;

/** Where a block lies and which rows it has. */
export interface BlockEntry {
  readonly offset: number;
  readonly headerBytes: number;
  readonly blockBytes: number;
  readonly firstRow: number;
  readonly rowCount: number;
}

/** One buffer of a block, and its place counted from the block's beginning. */
export interface BufferEntry {
  readonly at: number;
  readonly byteLength: number;
  readonly crc: number;
}

/** A block's header. */
export interface BlockHeader {
  readonly entry: BlockEntry;
  /** Whose it is, where its place does not say so; 0: it does not say. */
  readonly mark: bigint;
  readonly columns: readonly {
    readonly offsets: BufferEntry | undefined;
    readonly values: BufferEntry;
    readonly validity: BufferEntry | undefined;
  }[];
}

/** A block ready to be written. */
export interface EncodedBlock {
  /** To be written one after the other. */
  readonly buffers: readonly Uint8Array[];
  readonly headerBytes: number;
  readonly blockBytes: number;
}

const PADDING = new Uint8Array(ALIGNMENT_BYTES);

/** Lays a batch out as a block; the columns' buffers are used as they are, not copied. `mark`: see BlockHeader. */
export function encodeBlock(batch: Batch, mark = 0n): EncodedBlock {
  return encodePieces(inOnePiece(batch), mark);
}

/** The same of rows that lie in several batches. */
export function encodePieces(batch: PiecedBatch, mark = 0n): EncodedBlock {
  let bufferCount = 0;
  for (const { offsets, validity } of batch.columns)
    bufferCount += 1 + (offsets === undefined ? 0 : 1) + (validity === undefined ? 0 : 1);
  const tableAt = FIXED_HEADER_BYTES + Math.ceil(batch.columns.length / 4) * 4;
  const headerBytes = aligned(tableAt + bufferCount * 8);
  const header = Buffer.alloc(headerBytes);
  const buffers: Uint8Array[] = [header];
  let at = headerBytes;
  let entryAt = tableAt;
  const put = (pieces: PiecedColumn['pieces']): void => {
    let byteLength = 0;
    let crc = 0;
    for (const { values, valuesCrc } of pieces) {
      crc = crc32Combine(crc, valuesCrc ?? crc32(values), values.byteLength);
      byteLength += values.byteLength;
      buffers.push(values);
    }
    header.writeUInt32LE(byteLength, entryAt);
    header.writeUInt32LE(crc, entryAt + 4);
    entryAt += 8;
    const end = aligned(byteLength);
    if (end > byteLength) buffers.push(PADDING.subarray(0, end - byteLength));
    at += end;
  };
  for (const [i, { offsets, pieces, validity }] of batch.columns.entries()) {
    header[FIXED_HEADER_BYTES + i] =
      (offsets === undefined ? 0 : HAS_OFFSETS) | (validity === undefined ? 0 : HAS_VALIDITY);
    if (offsets !== undefined) put([{ values: offsets }]);
    put(pieces);
    if (validity !== undefined) put([{ values: validity }]);
  }
  header.writeUInt32LE(BLOCK_MAGIC, 0);
  header.writeUInt32LE(headerBytes, 4);
  header.writeUInt32LE(batch.rowCount, 12);
  header.writeBigUInt64LE(BigInt(batch.firstRow), 16);
  header.writeBigUInt64LE(BigInt(at), 24);
  header.writeUInt32LE(batch.columns.length, 32);
  header.writeUInt32LE(bufferCount, 36);
  header.writeBigUInt64LE(mark, 40);
  header.writeUInt32LE(crc32(header), 8);
  return { buffers, headerBytes, blockBytes: at };
}

/** The header's length, read from the first 64 bytes of a block; undefined where no block begins. */
export function headerBytesOf(start: Buffer): number | undefined {
  if (start.byteLength < FIXED_HEADER_BYTES || start.readUInt32LE(0) !== BLOCK_MAGIC) return undefined;
  const headerBytes = start.readUInt32LE(4);
  return headerBytes >= ALIGNMENT_BYTES && headerBytes % ALIGNMENT_BYTES === 0 ? headerBytes : undefined;
}

/** Parses a block's header that lies at `offset` of its segment; undefined when it does not check. */
export function parseHeader(bytes: Buffer, offset: number): BlockHeader | undefined {
  const headerBytes = headerBytesOf(bytes);
  if (headerBytes === undefined || bytes.byteLength < headerBytes) return undefined;
  const header = Buffer.from(bytes.subarray(0, headerBytes));
  const crc = header.readUInt32LE(8);
  header.writeUInt32LE(0, 8);
  if (crc32(header) !== crc) return undefined;
  const columnCount = header.readUInt32LE(32);
  let entryAt = FIXED_HEADER_BYTES + Math.ceil(columnCount / 4) * 4;
  let at = headerBytes;
  const next = (): BufferEntry => {
    const entry = { at, byteLength: header.readUInt32LE(entryAt), crc: header.readUInt32LE(entryAt + 4) };
    entryAt += 8;
    at += aligned(entry.byteLength);
    return entry;
  };
  const columns = [];
  for (let i = 0; i < columnCount; i++) {
    const flags = header[FIXED_HEADER_BYTES + i] ?? 0;
    const offsets = (flags & HAS_OFFSETS) !== 0 ? next() : undefined;
    const values = next();
    columns.push({ offsets, values, validity: (flags & HAS_VALIDITY) !== 0 ? next() : undefined });
  }
  const entry = {
    offset,
    headerBytes,
    blockBytes: Number(header.readBigUInt64LE(24)),
    firstRow: Number(header.readBigUInt64LE(16)),
    rowCount: header.readUInt32LE(12),
  };
  return at === entry.blockBytes ? { entry, mark: header.readBigUInt64LE(40), columns } : undefined;
}

/** A source of a block's bytes, by place in the block. */
export type BlockBytes = (at: number, byteLength: number) => Uint8Array;

/** Takes the columns with these indices out of a block. RESULT_CORRUPT where a checksum fails. */
export function decodeColumns(header: BlockHeader, indices: readonly number[], bytes: BlockBytes): Batch {
  const take = (entry: BufferEntry): Uint8Array => {
    const buffer = bytes(entry.at, entry.byteLength);
    if (buffer.byteLength !== entry.byteLength || crc32(buffer) !== entry.crc) {
      throw corrupt(`rows ${header.entry.firstRow} to ${header.entry.firstRow + header.entry.rowCount - 1}`);
    }
    return buffer;
  };
  const columns = indices.map((index): Column => {
    const column = header.columns[index];
    if (column === undefined) throw corrupt(`column ${index}`);
    return {
      offsets: column.offsets === undefined ? undefined : take(column.offsets),
      values: take(column.values),
      valuesCrc: column.values.crc,
      validity: column.validity === undefined ? undefined : take(column.validity),
    };
  });
  return { firstRow: header.entry.firstRow, rowCount: header.entry.rowCount, columns };
}

/** Encodes the directory of a segment's blocks. */
export function encodeDirectory(entries: readonly BlockEntry[]): Buffer {
  const bytes = Buffer.alloc(12 + entries.length * DIRECTORY_ENTRY_BYTES);
  bytes.writeUInt32LE(DIRECTORY_MAGIC, 0);
  bytes.writeUInt32LE(entries.length, 8);
  for (const [i, entry] of entries.entries()) {
    const at = 12 + i * DIRECTORY_ENTRY_BYTES;
    bytes.writeBigUInt64LE(BigInt(entry.offset), at);
    bytes.writeBigUInt64LE(BigInt(entry.blockBytes), at + 8);
    bytes.writeBigUInt64LE(BigInt(entry.firstRow), at + 16);
    bytes.writeUInt32LE(entry.rowCount, at + 24);
    bytes.writeUInt32LE(entry.headerBytes, at + 28);
  }
  bytes.writeUInt32LE(crc32(bytes), 4);
  return bytes;
}

/** Decodes what encodeDirectory made. RESULT_CORRUPT where its checksum fails. */
export function decodeDirectory(bytes: Buffer): BlockEntry[] {
  const copy = Buffer.from(bytes);
  if (copy.byteLength < 12 || copy.readUInt32LE(0) !== DIRECTORY_MAGIC) throw corrupt('the list of blocks');
  const crc = copy.readUInt32LE(4);
  copy.writeUInt32LE(0, 4);
  if (crc32(copy) !== crc) throw corrupt('the list of blocks');
  const entries: BlockEntry[] = [];
  for (let at = 12; at + DIRECTORY_ENTRY_BYTES <= copy.byteLength; at += DIRECTORY_ENTRY_BYTES) {
    entries.push({
      offset: Number(copy.readBigUInt64LE(at)),
      blockBytes: Number(copy.readBigUInt64LE(at + 8)),
      firstRow: Number(copy.readBigUInt64LE(at + 16)),
      rowCount: copy.readUInt32LE(at + 24),
      headerBytes: copy.readUInt32LE(at + 28),
    });
  }
  return entries;
}

/** The error for stored bytes that do not check. */
export function corrupt(part: string): StorageError {
  return new StorageError(
    'RESULT_CORRUPT',
    `Stored data fails its checksum: ${part}. The store's disk or file is damaged; restore the result from a backup or save it again.`,
    { metadata: { damaged_part: part } },
  );
}
