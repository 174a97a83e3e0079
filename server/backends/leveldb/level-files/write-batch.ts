import { ByteReader, varintBytes } from './bytes.js';

/** A change in a batch; without a value it is a deletion. */
interface BatchEntry {
  readonly key: Buffer;
  readonly value: Buffer | undefined;
}

/** What a record of LevelDB's write-ahead log says. */
export interface WriteBatch {
  /** Number of the first entry in the order of all. */
  readonly sequence: bigint;
  readonly entries: readonly BatchEntry[];
  /** What could not be read as entries, with what lies behind it. */
  readonly rest: Buffer;
}

const HEAD_BYTES = 12;

/** Reads a batch, as far as it can be read. */
export function parseBatch(record: Buffer): WriteBatch {
  if (record.byteLength < HEAD_BYTES) return { sequence: 0n, entries: [], rest: record };
  const reader = new ByteReader(record, HEAD_BYTES);
  const entries: BatchEntry[] = [];
  let end = reader.at;
  try {
    while (!reader.isAtEnd) {
      const type = reader.byte();
      if (type > 1) break;
      const key = reader.string();
      entries.push({ key, value: type === 1 ? reader.string() : undefined });
      end = reader.at;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return { sequence: record.readBigUInt64LE(0), entries, rest: record.subarray(end) };
}

/** A batch as a record. */
export function encodeBatch(sequence: bigint, entries: readonly BatchEntry[]): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeBigUInt64LE(sequence, 0);
  head.writeUInt32LE(entries.length, 8);
  const parts = entries.flatMap(({ key, value }) => {
    const named = [Buffer.of(value === undefined ? 0 : 1), varintBytes(key.byteLength), key];
    return value === undefined ? named : [...named, varintBytes(value.byteLength), value];
  });
  return Buffer.concat([head, ...parts]);
}
