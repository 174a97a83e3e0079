import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { LocalBlocks } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { FileBlocks, PlacedBlock } from '../backends/backend.js';
import { LOCAL_PLACES_BYTES } from '../limits.js';
import { PLACE_BYTES, placesPerBlock, writePlace, type BufferPlace } from '../rows/places.js';

const ABSENT: BufferPlace = { at: 0, byteLength: 0, crc: 0 };

/** Blocks as they are told to who opens their file: see LocalBlocks in the contract. `variables`: of their columns. */
export function* toLocalBlocks(located: FileBlocks, variables: readonly Variable[]): Generator<LocalBlocks> {
  const { path, device, inode, sizeBytes } = located.file;
  const places = placesPerBlock(variables);
  const blocksAtOnce = Math.max(1, Math.floor(LOCAL_PLACES_BYTES / (places * PLACE_BYTES)));
  let { firstRow } = located;
  for (let i = 0; i < located.blocks.length; i += blocksAtOnce) {
    const blocks = located.blocks.slice(i, i + blocksAtOnce);
    const rowCounts = blocks.map(({ rowCount }) => rowCount);
    yield {
      ...{ $typeName: 'optistore.v1.LocalBlocks', path, device, inode, fileBytes: BigInt(sizeBytes) },
      ...{ firstRow: BigInt(firstRow), rowCounts, buffers: toBuffers(blocks, places) },
    };
    for (const rowCount of rowCounts) firstRow += rowCount;
  }
}

function toBuffers(blocks: readonly PlacedBlock[], places: number): Uint8Array {
  const bytes = new Uint8Array(blocks.length * places * PLACE_BYTES);
  const view = new DataView(bytes.buffer);
  let next = 0;
  const put = (place: BufferPlace) => writePlace(view, next++, place);
  for (const { columns } of blocks)
    for (const { offsets, values, validity } of columns) {
      if (offsets !== undefined) put(offsets);
      put(values);
      put(validity ?? ABSENT);
    }
  return bytes;
}
