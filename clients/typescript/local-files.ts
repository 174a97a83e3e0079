import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ValueType } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { LocalBlocks } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { Batch, Column } from '../../server/rows/batch.js';
import { bitmapBytes, valueWidth } from '../../server/rows/batch.js';
import { crc32 } from '../../server/rows/checksum.js';
import { PLACE_BYTES, placesPerBlock, readPlace, type BufferPlace } from '../../server/rows/places.js';
import { readAhead } from '../../server/rows/read-ahead.js';

const ALIGNMENT_BYTES = 64;
/** Buffers that lie this near are read at once: another call costs more. */
const GAP_BYTES_MAX = 16 * 1024;
const AHEAD = { bytesMax: 4 * 1024 * 1024, countMax: 8 };
/** A pipe would be waited for; a file is never one. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** Rows could not be read from the daemon's files; they are to be had by its stream. */
export class LocalFilesUnusable extends Error {
  override readonly name = 'LocalFilesUnusable';
}

/** Reads rows from the daemon's files. */
export class LocalFiles implements AsyncDisposable {
  private current: { readonly path: string; readonly handle: FileHandle } | undefined;

  /**
   * Reads blocks, some ahead of who pulls. Each has one buffer of its own, in which columns begin at multiples of 64 bytes; each is checked
   * against its checksums. LocalFilesUnusable.
   */
  async *read(told: LocalBlocks, variables: readonly Variable[]): AsyncGenerator<Batch> {
    try {
      const handle = await this.opened(told);
      const read = (block: PlacedBlock) => readBlock(handle, block, variables);
      yield* readAhead(placedBlocks(told, variables), ({ byteLength }) => byteLength, read, AHEAD);
    } catch (error) {
      if (error instanceof LocalFilesUnusable) throw error;
      throw new LocalFilesUnusable(`A file of the daemon can't be read: ${String(error)}.`, { cause: error });
    }
  }

  /** The file that blocks lie in: the very one that the daemon means. */
  private async opened({ path, device, inode, fileBytes }: LocalBlocks): Promise<FileHandle> {
    if (this.current?.path === path) return this.current.handle;
    await this[Symbol.asyncDispose]();
    const handle = await open(path, OPEN_FLAGS);
    this.current = { path, handle };
    const found = await handle.stat({ bigint: true });
    if (!found.isFile() || found.dev !== device || found.ino !== inode || found.size !== fileBytes)
      throw new LocalFilesUnusable(`${path} is not the file that the daemon means.`);
    return handle;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { current } = this;
    this.current = undefined;
    await current?.handle.close();
  }
}

/** A buffer of a block: where it lies in the file, and in the block's buffer. */
interface PlacedBuffer extends BufferPlace {
  to: number;
}

interface PlacedColumn {
  readonly offsets: PlacedBuffer | undefined;
  readonly values: PlacedBuffer;
  readonly validity: PlacedBuffer;
}

/** A block, and how it is read. */
interface PlacedBlock {
  readonly firstRow: number;
  readonly rowCount: number;
  readonly columns: readonly PlacedColumn[];
  /** Runs of bytes that are read at once. */
  readonly spans: readonly { readonly at: number; readonly to: number; byteLength: number }[];
  /** Of the block's buffer. */
  readonly byteLength: number;
}

/** Takes apart what the daemon says of blocks. LocalFilesUnusable where it does not fit their columns. */
function placedBlocks(told: LocalBlocks, variables: readonly Variable[]): PlacedBlock[] {
  const { buffers } = told;
  const view = new DataView(buffers.buffer, buffers.byteOffset, buffers.byteLength);
  if (buffers.byteLength !== told.rowCounts.length * placesPerBlock(variables) * PLACE_BYTES)
    throw new LocalFilesUnusable(`The daemon tells ${buffers.byteLength} bytes of places.`);
  let next = 0;
  const take = (byteLength: number | undefined): PlacedBuffer => {
    const place = { ...readPlace(view, next++), to: 0 };
    const isInside = place.at % ALIGNMENT_BYTES === 0 && place.at + place.byteLength <= told.fileBytes;
    if (place.byteLength !== (byteLength ?? place.byteLength) || !isInside)
      throw new LocalFilesUnusable(`The daemon tells a place of ${place.byteLength} bytes at ${place.at}.`);
    return place;
  };
  let firstRow = Number(told.firstRow);
  return told.rowCounts.map((rowCount) => {
    const columns = variables.map((variable): PlacedColumn => {
      const offsets = isText(variable) ? take((rowCount + 1) * 4) : undefined;
      const width = valueWidth(variable.valueType);
      const values = take(width === undefined ? undefined : rowCount * width);
      const validity = take(undefined);
      if (validity.byteLength !== 0 && validity.byteLength !== bitmapBytes(rowCount))
        throw new LocalFilesUnusable(`The daemon tells a validity of ${validity.byteLength} bytes.`);
      return { offsets, values, validity };
    });
    const block = { firstRow, rowCount, columns, ...laidOut(columns) };
    firstRow += rowCount;
    return block;
  });
}

function isText({ valueType }: Variable): boolean {
  return valueType === ValueType.STRING;
}

function buffersOf({ offsets, values, validity }: PlacedColumn): PlacedBuffer[] {
  return [...(offsets === undefined ? [] : [offsets]), values, validity].filter(({ byteLength }) => byteLength > 0);
}

/** Gives each buffer its place in the block's: neighbours are read together, with what lies between them. */
function laidOut(columns: readonly PlacedColumn[]): Pick<PlacedBlock, 'spans' | 'byteLength'> {
  const spans: { at: number; to: number; byteLength: number }[] = [];
  let byteLength = 0;
  for (const buffer of columns.flatMap(buffersOf).sort((a, b) => a.at - b.at)) {
    let span = spans.at(-1);
    if (span === undefined || buffer.at - (span.at + span.byteLength) > GAP_BYTES_MAX) {
      span = { at: buffer.at, to: Math.ceil(byteLength / ALIGNMENT_BYTES) * ALIGNMENT_BYTES, byteLength: 0 };
      spans.push(span);
    }
    buffer.to = span.to + buffer.at - span.at;
    span.byteLength = Math.max(span.byteLength, buffer.at + buffer.byteLength - span.at);
    byteLength = span.to + span.byteLength;
  }
  return { spans, byteLength };
}

async function readBlock(handle: FileHandle, block: PlacedBlock, variables: readonly Variable[]): Promise<Batch> {
  // Not zeroed first: all that is used of it is read.
  const bytes = Buffer.allocUnsafeSlow(block.byteLength);
  await Promise.all(block.spans.map(({ at, to, byteLength }) => readFully(handle, bytes, to, byteLength, at)));
  const taken = ({ to, byteLength, crc }: PlacedBuffer, name: string): Uint8Array => {
    const buffer = new Uint8Array(bytes.buffer, to, byteLength);
    if (crc32(buffer) === crc) return buffer;
    throw new LocalFilesUnusable(`Rows from ${block.firstRow} on fail their checksum: "${name}".`);
  };
  const columns = block.columns.map(({ offsets, values, validity }, i): Column => {
    const name = variables[i]?.name ?? '';
    return {
      offsets: offsets && taken(offsets, name),
      values: taken(values, name),
      validity: validity.byteLength === 0 ? undefined : taken(validity, name),
    };
  });
  return { firstRow: block.firstRow, rowCount: block.rowCount, columns };
}

async function readFully(handle: FileHandle, bytes: Buffer, to: number, byteLength: number, at: number): Promise<void> {
  for (let done = 0; done < byteLength;) {
    const { bytesRead } = await handle.read(bytes, to + done, byteLength - done, at + done);
    if (bytesRead === 0) throw new LocalFilesUnusable(`The file ends before byte ${at + byteLength}.`);
    done += bytesRead;
  }
}
