import { throwIfCancelled } from '../../errors.js';
import type { Batch, Schema } from '../../rows/batch.js';
import { readAhead } from '../../rows/read-ahead.js';
import { sliceRows, type Selection } from '../../rows/select.js';
import type { BlockBytes, BlockEntry, BlockHeader } from './block-format.js';
import { corrupt, decodeColumns, parseHeader } from './block-format.js';

/** Something that bytes are read from by place. */
export interface Source extends AsyncDisposable {
  read(position: number, byteLength: number): Promise<Buffer>;
}

/** How the blocks of a source are read: their headers, and their buffers as columns. */
export interface BlockReading<Entry extends BlockEntry> {
  /** The header of a block, from its first `headerBytes`. RESULT_CORRUPT. */
  header(bytes: Buffer, entry: Entry): BlockHeader;
  /** The columns with these indices. RESULT_CORRUPT. */
  columns(header: BlockHeader, indices: readonly number[], bytes: BlockBytes): Batch;
}

/** How blocks of segments are read, and their places found. */
export const SEGMENT_READING: BlockReading<BlockEntry> = { header: headerOf, columns: decodeColumns };

/** Columns whose buffers lie this near are read at once: a seek costs more. */
const GAP_BYTES_MAX = 16 * 1024;

/** The blocks of a directory that have selected rows. */
export function blocksOf<Entry extends BlockEntry>(directory: readonly Entry[], selection: Selection): Entry[] {
  if (selection.rowCount === 0) return [];
  const end = selection.firstRow + selection.rowCount;
  return directory.filter((block) => block.firstRow < end && block.firstRow + block.rowCount > selection.firstRow);
}

/** Of one column in many there is little in each block: several are read ahead. */
const AHEAD = { bytesMax: 2 * 1024 * 1024, countMax: 8 };

/** Streams the selected rows of blocks, some of them read ahead of who pulls. */
export async function* readBlocks<Entry extends BlockEntry>(
  source: Source,
  blocks: readonly Entry[],
  selection: Selection,
  schema: Schema,
  signal: AbortSignal,
  reading: BlockReading<Entry> = SEGMENT_READING,
): AsyncGenerator<Batch> {
  const selectedSchema = selection.columns.map((index) => schema[index] ?? 0);
  const askedBytes = ({ blockBytes }: Entry) => (blockBytes * selection.columns.length) / schema.length;
  const read = (block: Entry) => readBlock(source, block, selection.columns, schema.length, reading);
  throwIfCancelled(signal);
  for await (const batch of readAhead(blocks, askedBytes, read, AHEAD)) {
    const part = sliceRows(selectedSchema, batch, selection);
    if (part !== undefined) yield part;
    throwIfCancelled(signal);
  }
}

async function readBlock<Entry extends BlockEntry>(
  source: Source,
  entry: Entry,
  columns: readonly number[],
  columnCount: number,
  reading: BlockReading<Entry>,
): Promise<Batch> {
  if (columns.length === columnCount) {
    const bytes = await source.read(entry.offset, entry.blockBytes);
    return reading.columns(reading.header(bytes, entry), columns, (at, byteLength) =>
      bytes.subarray(at, at + byteLength),
    );
  }
  const header = reading.header(await source.read(entry.offset, entry.headerBytes), entry);
  const pieces = await readPieces(source, header, columns);
  return reading.columns(header, columns, (at, byteLength) => {
    const piece = pieces.find(
      (candidate) => candidate.at <= at && at + byteLength <= candidate.at + candidate.bytes.byteLength,
    );
    return piece === undefined ? new Uint8Array(0) : piece.bytes.subarray(at - piece.at, at - piece.at + byteLength);
  });
}

function headerOf(bytes: Buffer, entry: BlockEntry): BlockHeader {
  const header = parseHeader(bytes, entry.offset);
  if (header === undefined || header.entry.firstRow !== entry.firstRow || header.entry.rowCount !== entry.rowCount) {
    throw corrupt(`the header of rows from ${entry.firstRow}`);
  }
  return header;
}

/** Reads the buffers of some columns: neighbours together, the rest of the block not at all. */
async function readPieces(source: Source, header: BlockHeader, columns: readonly number[]) {
  const spans: { at: number; end: number }[] = [];
  for (const index of [...columns].sort((a, b) => a - b)) {
    const column = header.columns[index];
    if (column === undefined) throw corrupt(`column ${index}`);
    const buffers = [column.offsets, column.values, column.validity].filter((buffer) => buffer !== undefined);
    const at = Math.min(...buffers.map((buffer) => buffer.at));
    const end = Math.max(...buffers.map((buffer) => buffer.at + buffer.byteLength));
    const before = spans.at(-1);
    if (before !== undefined && at - before.end <= GAP_BYTES_MAX) before.end = end;
    else spans.push({ at, end });
  }
  return Promise.all(
    spans.map(async ({ at, end }) => ({ at, bytes: await source.read(header.entry.offset + at, end - at) })),
  );
}
