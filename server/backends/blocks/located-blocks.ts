import type { FileHandle } from 'node:fs/promises';
import { throwIfCancelled } from '../../errors.js';
import type { BufferPlace } from '../../rows/places.js';
import type { FileBlocks, IdentifiedFile, PlacedBlock } from '../backend.js';
import { corrupt, type BlockEntry, type BlockHeader, type BufferEntry } from './block-format.js';
import { SEGMENT_READING, type BlockReading, type Source } from './block-reader.js';

/** Headers that are read at once: fewer of wide blocks, whose headers are long and their places many. */
const HEADERS_AT_ONCE_MAX = 16;
const COLUMNS_AT_ONCE_MAX = 4096;

/** What a file is known by to who opens it anew. */
export async function identityOf(file: FileHandle, path: string): Promise<IdentifiedFile> {
  const { dev, ino, size } = await file.stat({ bigint: true });
  return { path, device: dev, inode: ino, sizeBytes: Number(size) };
}

/** Tells where columns of blocks lie: reads and checks their headers, and nothing else of them. RESULT_CORRUPT. */
export async function* locateBlocks<Entry extends BlockEntry>(
  source: Source,
  file: IdentifiedFile,
  blocks: readonly Entry[],
  columns: readonly number[],
  signal: AbortSignal,
  reading: Pick<BlockReading<Entry>, 'header'> = SEGMENT_READING,
): AsyncGenerator<FileBlocks> {
  const atOnce = Math.max(1, Math.min(HEADERS_AT_ONCE_MAX, Math.floor(COLUMNS_AT_ONCE_MAX / columns.length)));
  for (let i = 0; i < blocks.length; i += atOnce) {
    throwIfCancelled(signal);
    const entries = blocks.slice(i, i + atOnce);
    const placed = await Promise.all(
      entries.map(async (entry) =>
        placesOf(reading.header(await source.read(entry.offset, entry.headerBytes), entry), columns),
      ),
    );
    const rowCount = placed.reduce((rows, block) => rows + block.rowCount, 0);
    yield { file, firstRow: (entries[0] as Entry).firstRow, rowCount, blocks: placed };
  }
}

function placesOf({ entry, columns }: BlockHeader, indices: readonly number[]): PlacedBlock {
  const placeOf = ({ at, byteLength, crc }: BufferEntry): BufferPlace => ({ at: entry.offset + at, byteLength, crc });
  return {
    rowCount: entry.rowCount,
    columns: indices.map((index) => {
      const column = columns[index];
      if (column === undefined) throw corrupt(`column ${index}`);
      const { offsets, values, validity } = column;
      return {
        offsets: offsets && placeOf(offsets),
        values: placeOf(values),
        validity: validity && placeOf(validity),
      };
    }),
  };
}
