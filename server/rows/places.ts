import { ValueType, type Variable } from '../../proto/gen/optistore/v1/problem_pb.js';

/** Where a buffer of a column lies in a file: at a byte, so long, with a CRC-32 of so much. */
export interface BufferPlace {
  readonly at: number;
  readonly byteLength: number;
  readonly crc: number;
}

/** Of a place in LocalBlocks: u64 at, u32 length, u32 CRC, little-endian. */
export const PLACE_BYTES = 16;

/** How many buffers a block has: offsets (text alone), values and validity of each column, in this order. */
export function placesPerBlock(variables: readonly Pick<Variable, 'valueType'>[]): number {
  return variables.reduce((count, { valueType }) => count + (valueType === ValueType.STRING ? 3 : 2), 0);
}

/** Writes the place of a number. */
export function writePlace(view: DataView, number: number, { at, byteLength, crc }: BufferPlace): void {
  const start = number * PLACE_BYTES;
  view.setBigUint64(start, BigInt(at), true);
  view.setUint32(start + 8, byteLength, true);
  view.setUint32(start + 12, crc, true);
}

/** Reads the place of a number. */
export function readPlace(view: DataView, number: number): BufferPlace {
  const start = number * PLACE_BYTES;
  return {
    at: Number(view.getBigUint64(start, true)),
    byteLength: view.getUint32(start + 8, true),
    crc: view.getUint32(start + 12, true),
  };
}
