import { open, rename, type FileHandle } from 'node:fs/promises';
import type { Segment } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { SegmentSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { create } from '@bufbuild/protobuf';
import type { Batch } from '../../rows/batch.js';
import type { BlockEntry, EncodedBlock } from '../blocks/block-format.js';
import { encodeBlock, encodeDirectory, SEGMENT_HEAD_BYTES, segmentHead } from '../blocks/block-format.js';
import { readAt, syncDirectoryOf, writeFully } from '../files.js';

/** Pieces in which bytes of a file are written anew. */
const PIECE_BYTES = 4 * 1024 * 1024;

/** Appends blocks to a segment file. Calls are not made concurrently, but for `sync` and `read`. */
export class SegmentWriter implements AsyncDisposable {
  /** Whether a sync has failed: what the file holds nobody knows, and a later sync would prove nothing. */
  hasFailed = false;

  private constructor(
    readonly name: string,
    private readonly file: FileHandle,
    readonly blocks: BlockEntry[],
    private end: number,
  ) {}

  /** Creates the file; its name is durable before it returns. */
  static async create(path: string, name: string): Promise<SegmentWriter> {
    return begun(path, 'wx+', async (file) => {
      await writeFully(file, [segmentHead(name)], 0);
      await syncDirectoryOf(path);
      return new SegmentWriter(name, file, [], SEGMENT_HEAD_BYTES);
    });
  }

  /**
   * Goes on behind blocks that recovery found whole, durably; cuts off what lies behind them. What lies behind `syncedBytes` is
   * written once more: it was read, but that it is on the disk nobody knows.
   */
  static async reopen(path: string, name: string, blocks: BlockEntry[], syncedBytes: number): Promise<SegmentWriter> {
    return begun(path, 'r+', async (file) => {
      const end = endOf(blocks);
      await writeFully(file, [segmentHead(name)], 0);
      await copyBytes(file, file, Math.max(SEGMENT_HEAD_BYTES, syncedBytes), end);
      await file.truncate(end);
      await file.datasync();
      return new SegmentWriter(name, file, blocks, end);
    });
  }

  /** Goes on with these blocks in a new file that takes the place of the one whose sync has failed. */
  static async renew(path: string, name: string, blocks: BlockEntry[]): Promise<SegmentWriter> {
    const temporary = `${path}.new`;
    return begun(temporary, 'w+', async (file) => {
      await using before = await open(path, 'r');
      const end = endOf(blocks);
      await writeFully(file, [segmentHead(name)], 0);
      await copyBytes(before, file, SEGMENT_HEAD_BYTES, end);
      await file.datasync();
      await rename(temporary, path);
      await syncDirectoryOf(path);
      return new SegmentWriter(name, file, blocks, end);
    });
  }

  /** Bytes of the head and all blocks. */
  get sizeBytes(): number {
    return this.end;
  }

  /** Writes a batch as a block. Not durable before `sync`. */
  async append(batch: Batch, block: EncodedBlock = encodeBlock(batch)): Promise<void> {
    const offset = this.end;
    await writeFully(this.file, block.buffers, offset);
    this.end = offset + block.blockBytes;
    this.blocks.push({
      offset,
      headerBytes: block.headerBytes,
      blockBytes: block.blockBytes,
      firstRow: batch.firstRow,
      rowCount: batch.rowCount,
    });
  }

  /** Reads bytes of blocks that were written. */
  read(position: number, byteLength: number): Promise<Buffer> {
    return readAt(this.file, position, byteLength);
  }

  /** Makes all durable that was written before the call. */
  async sync(): Promise<void> {
    try {
      await this.file.datasync();
    } catch (error) {
      this.hasFailed = true;
      throw error;
    }
  }

  /** Writes the directory and makes all durable. More blocks may be appended later: they overwrite it. */
  async finish(): Promise<Segment> {
    const directory = encodeDirectory(this.blocks);
    await writeFully(this.file, [directory], this.end);
    const sizeBytes = this.end + directory.byteLength;
    await this.file.truncate(sizeBytes);
    await this.sync();
    const firstRow = this.blocks[0]?.firstRow ?? 0;
    const last = this.blocks.at(-1);
    return create(SegmentSchema, {
      name: this.name,
      firstRow: BigInt(firstRow),
      rowCount: BigInt(last === undefined ? 0 : last.firstRow + last.rowCount - firstRow),
      sizeBytes: BigInt(sizeBytes),
      directoryOffset: BigInt(this.end),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.file.close();
  }
}

function endOf(blocks: readonly BlockEntry[]): number {
  const last = blocks.at(-1);
  return last === undefined ? SEGMENT_HEAD_BYTES : last.offset + last.blockBytes;
}

/** Writes bytes of a file to the same place of another one, or of the same. */
async function copyBytes(from: FileHandle, to: FileHandle, start: number, end: number): Promise<void> {
  for (let at = start; at < end; at += PIECE_BYTES)
    await writeFully(to, [await readAt(from, at, Math.min(PIECE_BYTES, end - at))], at);
}

/** Opens a file, which stays open unless what is begun with it fails. */
async function begun<T>(path: string, flags: string, act: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags, 0o600);
  try {
    return await act(file);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** A segment small enough to be a value of the index: the same bytes as a file would have. */
export function inlineSegment(
  name: string,
  batch: Batch,
): { segment: Segment; image: Buffer; valuesCrcs: readonly number[] } {
  const block = encodeBlock(batch);
  const offset = SEGMENT_HEAD_BYTES;
  const { headerBytes, blockBytes, valuesCrcs } = block;
  const entry = { offset, headerBytes, blockBytes, firstRow: batch.firstRow, rowCount: batch.rowCount };
  const image = Buffer.concat([segmentHead(name), ...block.buffers, encodeDirectory([entry])]);
  const segment = create(SegmentSchema, {
    name,
    inline: true,
    firstRow: BigInt(batch.firstRow),
    rowCount: BigInt(batch.rowCount),
    sizeBytes: BigInt(image.byteLength),
    directoryOffset: BigInt(offset + blockBytes),
  });
  return { segment, image, valuesCrcs };
}
