import { crc32c } from '@node-rs/crc32';

/** CRC-32C (Castagnoli) as LevelDB writes it: masked, so that a checksum of bytes that hold checksums is no trivial one. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
