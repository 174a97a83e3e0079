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
/** Blocks that follow each other are read together, up to this. */
const READ_BYTES_MAX = 1024 * 1024;
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
    const wanted = entriesOf(await readBlock(file, size, meta)).map(({ value }) => handleFrom(new ByteReader(value)));
    let from = '';
    for (const { key, value } of entriesOf(await readBlock(file, size, index))) {
      const to = key.subarray(0, Math.max(0, key.byteLength - SEQUENCE_BYTES)).toString();
      if (!isSkipped(from, to)) wanted.push(handleFrom(new ByteReader(value)));
      from = to;
    }
    await checkBlocks(file, size, wanted);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function handleFrom(reader: ByteReader): Handle {
  return { offset: reader.varint(), size: reader.varint() };
}

const endOf = ({ offset, size }: Handle) => offset + size + TRAILER_BYTES;

/** Reads blocks and checks them. RangeError where one does not check. */
async function checkBlocks(file: FileHandle, fileBytes: number, handles: readonly Handle[]): Promise<void> {
  const inOrder = [...handles].sort((a, b) => a.offset - b.offset);
  for (let next = 0; next < inOrder.length;) {
    const first = inOrder[next] as Handle;
    const run = [first];
    // One after the other in the file: a block has some 4 KiB, and a read of its own for each took most of a start.
    for (let last = first; ++next < inOrder.length; run.push(last)) {
      const handle = inOrder[next] as Handle;
      if (handle.offset !== endOf(last) || endOf(handle) - first.offset > READ_BYTES_MAX) break;
      last = handle;
    }
    const bytes = await readWhole(file, fileBytes, first.offset, endOf(run.at(-1) ?? first));
    for (const { offset, size } of run) checkedBlock(bytes, { offset: offset - first.offset, size });
  }
}

/** A block, still packed. RangeError where it does not check. */
async function readBlock(file: FileHandle, fileBytes: number, handle: Handle): Promise<Buffer> {
  const bytes = await readWhole(file, fileBytes, handle.offset, endOf(handle));
  return checkedBlock(bytes, { offset: 0, size: handle.size });
}

async function readWhole(file: FileHandle, fileBytes: number, from: number, to: number): Promise<Buffer> {
  if (to > fileBytes) throw new RangeError('a block beyond the end');
  const bytes = await readAt(file, from, to - from);
  if (bytes.byteLength < to - from) throw new RangeError('a block beyond the end');
  return bytes;
}

function checkedBlock(bytes: Buffer, { offset, size }: Handle): Buffer {
  const end = offset + size + 1;
  const block = bytes.subarray(offset, end);
  if (maskedCrc32c(block) !== bytes.readUInt32LE(end)) throw new RangeError('a block that does not check');
  return block;
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
