import { maskedCrc32c } from './crc32c.js';

/**
 * LevelDB's log format, which its MANIFEST has too: blocks of 32 KiB with pieces of records, each behind its masked CRC-32C (over
 * type and data), its length and its type. https://github.com/google/leveldb/blob/main/doc/log_format.md
 */
const BLOCK_BYTES = 32 * 1024;
const HEADER_BYTES = 7;
const [FULL, FIRST, MIDDLE, LAST] = [1, 2, 3, 4] as const;

/** A piece of a record. */
interface Piece {
  readonly type: number;
  readonly data: Buffer;
  readonly isWhole: boolean;
}

/** A record, or what can be read of one that was damaged. */
export interface LogRecord {
  readonly data: Buffer;
  readonly isWhole: boolean;
}

/** What a log holds. */
export interface LogContent {
  /** In order, up to the last one that checks: what lies behind it may be a write that was not finished. */
  readonly records: readonly LogRecord[];
  /** Bytes that are not accounted for by any record lie among them. */
  readonly hasGap: boolean;
  /** Whether nothing but the last record that checks lies at the end. */
  readonly endsClean: boolean;
  /** Where the last piece that checks ends. */
  readonly wholeBytes: number;
}

/** Reads a log, also past what is damaged in it. */
export function readLog(bytes: Buffer): LogContent {
  const pieces: (Piece | 'gap')[] = [];
  let wholeEnd = 0;
  let wholeBytes = 0;
  let isTailBad = false;
  for (let start = 0; start < bytes.byteLength; start += BLOCK_BYTES) {
    const block = bytes.subarray(start, start + BLOCK_BYTES);
    let at = 0;
    while (at + HEADER_BYTES <= block.byteLength) {
      const piece = pieceAt(block, at);
      if (piece?.isWhole === true) {
        pieces.push(piece);
        wholeEnd = pieces.length;
        isTailBad = false;
        at += HEADER_BYTES + piece.data.byteLength;
        wholeBytes = start + at;
        continue;
      }
      isTailBad = true;
      const next = nextWhole(block, at, piece);
      if (piece !== undefined && next === at + HEADER_BYTES + piece.data.byteLength) pieces.push(piece);
      else pieces.push('gap');
      at = next;
    }
    // What is too short for a piece is left at the end of a whole block only.
    if (at < block.byteLength && block.byteLength < BLOCK_BYTES) isTailBad = true;
  }
  return { ...recordsOf(pieces.slice(0, wholeEnd)), endsClean: !isTailBad, wholeBytes };
}

/** The piece at a place, whether it checks or not; undefined where none can begin. */
function pieceAt(block: Buffer, at: number): Piece | undefined {
  const length = block.readUInt16LE(at + 4);
  const type = block[at + 6] ?? 0;
  const end = at + HEADER_BYTES + length;
  if (type < FULL || type > LAST || end > block.byteLength) return undefined;
  const data = block.subarray(at + HEADER_BYTES, end);
  return { type, data, isWhole: maskedCrc32c(block.subarray(at + 6, end)) === block.readUInt32LE(at) };
}

/** Where reading goes on behind a piece that does not check: at the next one that does, or at the end of the block. */
function nextWhole(block: Buffer, at: number, piece: Piece | undefined): number {
  if (piece !== undefined) {
    const behind = at + HEADER_BYTES + piece.data.byteLength;
    if (block.byteLength - behind < HEADER_BYTES || pieceAt(block, behind)?.isWhole === true) return behind;
  }
  for (let next = at + 1; next + HEADER_BYTES <= block.byteLength; next++)
    if (pieceAt(block, next)?.isWhole === true) return next;
  return block.byteLength;
}

function recordsOf(pieces: readonly (Piece | 'gap')[]): { records: LogRecord[]; hasGap: boolean } {
  const records: LogRecord[] = [];
  let hasGap = false;
  let begun: Piece[] = [];
  const end = (isWhole: boolean) => {
    if (begun.length === 0) return;
    const data = Buffer.concat(begun.map((piece) => piece.data));
    records.push({ data, isWhole: isWhole && begun.every((piece) => piece.isWhole) });
    begun = [];
  };
  for (const piece of pieces) {
    if (piece === 'gap') {
      hasGap = true;
      end(false);
      continue;
    }
    if (piece.type === FULL || piece.type === FIRST) end(false);
    // What goes on from nothing: its beginning is gone.
    else if (begun.length === 0) hasGap = true;
    begun.push(piece);
    if (piece.type === FULL || piece.type === LAST) end(true);
  }
  // The last piece that checks may be the beginning of a record that was not finished.
  return { records, hasGap };
}

/** A log that has these records. */
export function encodeLog(records: readonly Buffer[]): Buffer {
  const parts: Buffer[] = [];
  let room = BLOCK_BYTES;
  for (const record of records) {
    let at = 0;
    do {
      if (room < HEADER_BYTES) {
        parts.push(Buffer.alloc(room));
        room = BLOCK_BYTES;
      }
      const length = Math.min(record.byteLength - at, room - HEADER_BYTES);
      const [isFirst, isLast] = [at === 0, at + length === record.byteLength];
      const piece = Buffer.alloc(HEADER_BYTES + length);
      piece[6] = isFirst ? (isLast ? FULL : FIRST) : isLast ? LAST : MIDDLE;
      record.copy(piece, HEADER_BYTES, at, at + length);
      piece.writeUInt16LE(length, 4);
      piece.writeUInt32LE(maskedCrc32c(piece.subarray(6)), 0);
      parts.push(piece);
      at += length;
      room -= piece.byteLength;
    } while (at < record.byteLength);
  }
  return Buffer.concat(parts);
}
