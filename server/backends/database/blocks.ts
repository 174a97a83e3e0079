import type { Manifest, Segment } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { throwIfCancelled } from '../../errors.js';
import type { Batch, Schema } from '../../rows/batch.js';
import type { Selection } from '../../rows/select.js';
import type { BlockEntry, BlockHeader } from '../blocks/block-format.js';
import { corrupt, decodeColumns, encodeBlock, parseHeader } from '../blocks/block-format.js';
import { readBlocks, type BlockReading, type Source } from '../blocks/block-reader.js';
import { revisionGone } from '../result-errors.js';
import type { Connection, Database } from './database.js';
import { asBuffer } from './result-rows.js';

/** A block in the table of blocks. */
export interface StoredBlock {
  readonly firstRow: number;
  readonly rowCount: number;
  readonly headerBytes: number;
  readonly blockBytes: number;
  /** Whether it waits to be gathered with others. */
  readonly isLoose: boolean;
}

interface BlockRow {
  readonly first_row: number | string;
  readonly row_count: number | string;
  readonly header_bytes: number;
  readonly block_bytes: number;
  readonly is_loose: boolean | number;
}

const BLOCK_COLUMNS = ['first_row', 'row_count', 'header_bytes', 'block_bytes', 'is_loose'] as const;

/** Writes a block. */
export async function writeBlock(
  connection: Connection,
  segmentId: number,
  batch: Batch,
  isLoose: boolean,
): Promise<StoredBlock> {
  const { buffers, headerBytes, blockBytes } = encodeBlock(batch, markOf(segmentId, isLoose));
  const { firstRow, rowCount } = batch;
  await connection('blocks').insert({
    ...{ segment_id: segmentId, first_row: firstRow, row_count: rowCount },
    ...{ header_bytes: headerBytes, block_bytes: blockBytes, is_loose: isLoose },
    bytes: Buffer.concat(buffers, blockBytes),
  });
  return { firstRow, rowCount, headerBytes, blockBytes, isLoose };
}

/** Says in a block's header whose it is: rows of the table that were swapped are seen. */
function markOf(segmentId: number, isLoose: boolean): bigint {
  return BigInt(segmentId) * 2n + (isLoose ? 1n : 0n);
}

/** A block's header, which says what the table does. RESULT_CORRUPT. Blocks of earlier versions have no mark. */
function headerOf(bytes: Buffer, segmentId: number, block: StoredBlock, offset = 0): BlockHeader {
  const header = parseHeader(bytes, offset);
  const { entry, mark } = header ?? {};
  const isOwn =
    entry?.firstRow === block.firstRow &&
    entry.rowCount === block.rowCount &&
    entry.headerBytes === block.headerBytes &&
    entry.blockBytes === block.blockBytes &&
    (mark === 0n || mark === markOf(segmentId, block.isLoose));
  if (header === undefined || !isOwn) throw corrupt(`rows from ${block.firstRow}`);
  return header;
}

/** Fails where blocks are not rows behind each other, from a row to another. RESULT_CORRUPT. */
export function checkRange(blocks: readonly StoredBlock[], fromRow: number, toRow: number): void {
  let next = fromRow;
  for (const { firstRow, rowCount } of blocks) {
    if (firstRow > next || (firstRow < next && next !== fromRow)) throw corrupt(`rows from ${next}`);
    next = firstRow + rowCount;
  }
  if (next < toRow) throw corrupt(`rows from ${next}`);
}

/** The blocks of a segment that have rows of a range, in order. */
export async function blocksOf(
  connection: Connection,
  segmentId: number,
  fromRow: number,
  toRow: number,
): Promise<StoredBlock[]> {
  const rows = await connection('blocks')
    .where('segment_id', segmentId)
    .andWhere('first_row', '<', toRow)
    .andWhereRaw('first_row + row_count > ?', [fromRow])
    .orderBy('first_row')
    .select<BlockRow[]>(...BLOCK_COLUMNS);
  return rows.map(storedBlock);
}

function storedBlock(row: BlockRow): StoredBlock {
  return {
    ...{ firstRow: Number(row.first_row), rowCount: Number(row.row_count) },
    ...{ headerBytes: row.header_bytes, blockBytes: row.block_bytes, isLoose: Boolean(row.is_loose) },
  };
}

/** Reads a block whole. RESULT_CORRUPT. */
export async function readWholeBlock(
  connection: Connection,
  segmentId: number,
  block: StoredBlock,
  columnCount: number,
): Promise<Batch> {
  const row = await connection('blocks')
    .where({ segment_id: segmentId, first_row: block.firstRow })
    .first<{ bytes: Uint8Array } | undefined>('bytes');
  if (row === undefined) throw corrupt(`rows from ${block.firstRow}`);
  const columns = Array.from({ length: columnCount }, (_, i) => i);
  return decodeBlock(bytesOf(row, block.firstRow), segmentId, block, columns);
}

/** Columns of a block whose bytes are all there. RESULT_CORRUPT. */
export function decodeBlock(bytes: Buffer, segmentId: number, block: StoredBlock, columns: readonly number[]): Batch {
  const header = headerOf(bytes, segmentId, block);
  return decodeColumns(header, columns, (at, byteLength) => bytes.subarray(at, at + byteLength));
}

/**
 * The block that has a row, with its bytes where it is loose, or in any case: in one statement, as loose blocks give way to
 * those they are gathered into. RESULT_CORRUPT where none has it.
 */
export async function blockAt(
  connection: Connection,
  segmentId: number,
  row: number,
  withBytes: 'of a loose one' | 'always',
): Promise<{ block: StoredBlock; bytes: Buffer | undefined }> {
  const found = await connection('blocks')
    .where('segment_id', segmentId)
    .andWhere('first_row', '<=', row)
    .orderBy('first_row', 'desc')
    .first<(BlockRow & { bytes: Uint8Array | null }) | undefined>(
      ...BLOCK_COLUMNS,
      withBytes === 'always' ? 'bytes' : connection.raw('CASE WHEN is_loose THEN bytes END AS bytes'),
    );
  const block = found && storedBlock(found);
  if (block === undefined || block.firstRow + block.rowCount <= row) throw corrupt(`rows from ${row}`);
  return { block, bytes: found?.bytes == null ? undefined : bytesOf({ bytes: found.bytes }, row) };
}

/** SQLite keeps a type with each value: of a damaged one it may be any. RESULT_CORRUPT. */
function bytesOf({ bytes }: { bytes: Uint8Array }, row: number): Buffer {
  if (!((bytes as unknown) instanceof Uint8Array)) throw corrupt(`rows from ${row}`);
  return asBuffer(bytes);
}

/** Streams the selected rows of a revision, one block ahead of who pulls; of its blocks only the columns asked for. */
export async function* readRevision(
  database: Database,
  manifest: Manifest,
  selection: Selection,
  schema: Schema,
  signal: AbortSignal,
): AsyncGenerator<Batch> {
  if (selection.rowCount === 0) return;
  for (const segment of manifest.segments) {
    throwIfCancelled(signal);
    const source = await SegmentSource.open(database, manifest, segment, selection);
    yield* readBlocks(source, source.entries, selection, schema, signal, source.reading);
  }
}

/** A block among those of its segment. */
interface PlacedBlock extends StoredBlock, BlockEntry {}

/** The bytes of a segment's blocks as if they lay one after the other. */
class SegmentSource implements Source {
  private constructor(
    private readonly database: Database,
    private readonly manifest: Manifest,
    private readonly segmentId: number,
    readonly entries: readonly PlacedBlock[],
  ) {}

  readonly reading: BlockReading<PlacedBlock> = {
    header: (bytes, block) => headerOf(bytes, this.segmentId, block, block.offset),
    columns: decodeColumns,
  };

  static async open(database: Database, manifest: Manifest, segment: Segment, selection: Selection) {
    const segmentId = Number(segment.name);
    const from = Math.max(Number(segment.firstRow), selection.firstRow);
    const to = Math.min(Number(segment.firstRow + segment.rowCount), selection.firstRow + selection.rowCount);
    const blocks = await database.query((connection) => blocksOf(connection, segmentId, from, to));
    let offset = 0;
    let next = blocks[0]?.firstRow ?? from;
    const entries = blocks.map((block): PlacedBlock => {
      const entry = { ...block, offset };
      offset += block.blockBytes;
      if (block.firstRow === next) next += block.rowCount;
      return entry;
    });
    const source = new SegmentSource(database, manifest, segmentId, entries);
    if (from < to && (next < to || (entries[0]?.firstRow ?? to) > from)) throw await source.missing(next);
    return source;
  }

  async read(position: number, byteLength: number): Promise<Buffer> {
    const entry = this.entryAt(position);
    const { segmentId: segment_id } = this;
    const isWhole = position === entry.offset && byteLength === entry.blockBytes;
    const row = await this.database.query(async (connection) => {
      const block = connection('blocks').where({ segment_id, first_row: entry.firstRow });
      // Both databases count from 1.
      const part = connection.raw('substr(bytes, ?, ?) AS bytes', [position - entry.offset + 1, byteLength]);
      return await block.first<{ bytes: Uint8Array } | undefined>(isWhole ? 'bytes' : part);
    });
    if (row === undefined) throw await this.missing(entry.firstRow);
    return bytesOf(row, entry.firstRow);
  }

  private entryAt(position: number): PlacedBlock {
    let low = 0;
    let high = this.entries.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.entries[middle] as PlacedBlock).offset <= position) low = middle;
      else high = middle - 1;
    }
    return this.entries[low] as PlacedBlock;
  }

  /** The error for rows that are not there: removed with their revision, or lost. */
  private async missing(row: number): Promise<Error> {
    const kept: unknown = await this.database.query((connection) =>
      connection('segments').where({ id: this.segmentId, removed: false }).first('id'),
    );
    return kept === undefined ? revisionGone(this.manifest.key, this.manifest.revision) : corrupt(`rows from ${row}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
