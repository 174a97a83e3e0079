import { crc32 } from '../../rows/checksum.js';

/** A value of a row, as the drivers give it. */
export type RowValue = string | number | bigint | boolean | Uint8Array | null;

/** CRC-32 of values of a row in their order, each behind its length: the end of one is never the beginning of the next. */
export function rowCrc(values: readonly RowValue[]): number {
  let crc = 0;
  for (const value of values) {
    const bytes = value instanceof Uint8Array ? value : Buffer.from(String(value));
    crc = crc32(bytes, crc32(Buffer.from(`${bytes.byteLength}\0`), crc));
  }
  return crc;
}
