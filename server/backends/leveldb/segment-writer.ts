import { open, rename, type FileHandle } from 'node:fs/promises';
import type { Segment } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { SegmentSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { create } from '@bufbuild/protobuf';
import type { Batch } from '../../rows/batch.js';
import type { BlockEntry, EncodedBlock } from '../blocks/block-format.js';
import { encodeBlock, encodeDirectory, SEGMENT_HEAD_BYTES, segmentHead } from '../blocks/block-format.js';
import { readAt, syncDirectoryOf, writeFully } from '../files.js';
import type { FolderSync } from '../folder-sync.js';

/** Pieces in which bytes of a file are written anew. */
const PIECE_BYTES = 4 * 1024 * 1024;

/** Which rows, wherever they lie. */
export type RowRange = Pick<Batch, 'firstRow' | 'rowCount'>;

/** Appends blocks to a segment file. Calls are not made concurrently, but for `sync` and `read`. */
export class SegmentWriter implements AsyncDisposable {
  /** Whether a sync has failed: what the file holds nobody knows, and a later sync would prove nothing. */
  hasFailed = false;
  /** Where the file may end: a write that failed, or a directory that blocks were written over, may have left more than there is. */
  private fileEnd: number;

  private constructor(
    readonly name: string,
    private readonly file: FileHandle,
    readonly blocks: BlockEntry[],
    private end: number,
    /** Makes the file's name durable; undefined: it is. */
    private folder?: FolderSync,
  ) {
    this.fileEnd = end;
  }

  /** Creates the file. Its head is written with the first block, and its name made durable with that. */
  static async create(path: string, name: string, folder: FolderSync): Promise<SegmentWriter> {
    return new SegmentWriter(name, await open(path, 'wx+', 0o600), [], 0, folder);
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
      await Promise.all([file.datasync(), syncDirectoryOf(path)]);
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

  /** Writes a block of these rows. Not durable before `sync`. */
  async append(rows: RowRange, block: EncodedBlock): Promise<void> {
    const entry = this.nextEntry(rows, block);
    await this.write(block.buffers);
    this.wrote(entry);
  }

  private nextEntry({ firstRow, rowCount }: RowRange, { headerBytes, blockBytes }: EncodedBlock): BlockEntry {
    return { offset: Math.max(this.end, SEGMENT_HEAD_BYTES), headerBytes, blockBytes, firstRow, rowCount };
  }

  /** Writes at the end; the head too, when nothing is there yet. */
  private async write(buffers: readonly Uint8Array[]): Promise<void> {
    const all: readonly Uint8Array[] = this.end === 0 ? [segmentHead(this.name), ...buffers] : buffers;
    let end = this.end;
    for (const { byteLength } of all) end += byteLength;
    this.fileEnd = Math.max(this.fileEnd, end);
    await writeFully(this.file, all, this.end);
  }

  private wrote(entry: BlockEntry): void {
    this.end = entry.offset + entry.blockBytes;
    this.blocks.push(entry);
  }

  /** Reads bytes of blocks that were written. */
  read(position: number, byteLength: number): Promise<Buffer> {
    return readAt(this.file, position, byteLength);
  }

  /** Makes all durable that was written before the call. */
  async sync(): Promise<void> {
    try {
      await Promise.all([this.file.datasync(), this.folder?.sync()]);
      this.folder = undefined;
    } catch (error) {
      this.hasFailed = true;
      throw error;
    }
  }

  /**
   * Writes the last rows, where there are some, and the directory, and makes all durable. More blocks may be appended later:
   * they overwrite it.
   */
  async finish(last?: { readonly rows: RowRange; readonly block: EncodedBlock }): Promise<Segment> {
    const entry = last && this.nextEntry(last.rows, last.block);
    const directory = encodeDirectory(entry === undefined ? this.blocks : [...this.blocks, entry]);
    await this.write([...(last?.block.buffers ?? []), directory]);
    if (entry !== undefined) this.wrote(entry);
    const sizeBytes = this.end + directory.byteLength;
    if (this.fileEnd > sizeBytes) {
      await this.file.truncate(sizeBytes);
      this.fileEnd = sizeBytes;
    }
    await this.sync();
    return this.described(sizeBytes);
  }

  private described(sizeBytes: number): Segment {
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
export function inlineSegment(name: string, batch: Batch): { segment: Segment; image: Buffer } {
  const block = encodeBlock(batch);
  const offset = SEGMENT_HEAD_BYTES;
  const { headerBytes, blockBytes } = block;
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
  return { segment, image };
}
