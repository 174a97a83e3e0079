import { open, type FileHandle } from 'node:fs/promises';
import { uncompressSync } from 'snappy';
import { readAt } from '../../files.js';
import { ByteReader } from './bytes.js';
import { maskedCrc32c } from './crc32c.js';

/**
 * A table of LevelDB: blocks, each with a byte that says how it is packed and its masked CRC-32C; at the end a footer says where the
 * list of the blocks is. https://github.com/google/leveldb/blob/main/doc/table_format.md
 */
const FOOTER_BYTES = 48;
const TRAILER_BYTES = 5;
const MAGIC = 0xdb4775248b80fb57n;
/** Behind a key: in which order it was written. */
const SEQUENCE_BYTES = 8;

/** Where a block lies. */
interface Handle {
  readonly offset: number;
  readonly size: number;
}

/**
 * Whether a table has its length and all its blocks check, but for those whose keys `isSkipped`: a block is told the keys between
 * which its own lie.
 */
export async function isTableWhole(
  path: string,
  sizeBytes: number | undefined,
  isSkipped: (from: string, to: string) => boolean,
): Promise<boolean> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    if (size < FOOTER_BYTES || (sizeBytes !== undefined && size !== sizeBytes)) return false;
    const footer = await readAt(file, size - FOOTER_BYTES, FOOTER_BYTES);
    if (footer.readBigUInt64LE(FOOTER_BYTES - 8) !== MAGIC) return false;
    const reader = new ByteReader(footer);
    const [meta, index] = [handleFrom(reader), handleFrom(reader)];
    for (const { value } of entriesOf(await readBlock(file, meta)))
      await readBlock(file, handleFrom(new ByteReader(value)));
    let from = '';
    for (const { key, value } of entriesOf(await readBlock(file, index))) {
      const to = key.subarray(0, Math.max(0, key.byteLength - SEQUENCE_BYTES)).toString();
      if (!isSkipped(from, to)) await readBlock(file, handleFrom(new ByteReader(value)));
      from = to;
    }
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function handleFrom(reader: ByteReader): Handle {
  return { offset: reader.varint(), size: reader.varint() };
}

/** A block, still packed. RangeError where it does not check. */
async function readBlock(file: FileHandle, { offset, size }: Handle): Promise<Buffer> {
  if (size > (await file.stat()).size) throw new RangeError('a block beyond the end');
  const bytes = await readAt(file, offset, size + TRAILER_BYTES);
  if (bytes.byteLength < size + TRAILER_BYTES) throw new RangeError('a block beyond the end');
  if (maskedCrc32c(bytes.subarray(0, size + 1)) !== bytes.readUInt32LE(size + 1))
    throw new RangeError('a block that does not check');
  return bytes.subarray(0, size + 1);
}

function unpacked(bytes: Buffer): Buffer {
  try {
    return Buffer.from(uncompressSync(bytes));
  } catch (error) {
    throw new RangeError('a block that is packed in another way', { cause: error });
  }
}

/** The keys and values of a block. */
function entriesOf(block: Buffer): { key: Buffer; value: Buffer }[] {
  const packed = block.subarray(0, -1);
  const bytes = block.at(-1) === 0 ? packed : unpacked(packed);
  const restartCount = bytes.readUInt32LE(bytes.byteLength - 4);
  const reader = new ByteReader(bytes.subarray(0, bytes.byteLength - 4 * (restartCount + 1)));
  const entries: { key: Buffer; value: Buffer }[] = [];
  let before: Buffer = Buffer.alloc(0);
  while (!reader.isAtEnd) {
    const [shared, own, valueBytes] = [reader.varint(), reader.varint(), reader.varint()];
    before = Buffer.concat([before.subarray(0, shared), reader.take(own)]);
    entries.push({ key: before, value: reader.take(valueBytes) });
  }
  return entries;
}
