import { crc32 as nodeCrc32 } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc32 } from '../../server/rows/checksum.js';

test('a checksum is the CRC-32 of zlib, of bytes of any length, in one go or in parts', () => {
  const bytes = fc.uint8Array({ maxLength: 2000 });
  fc.assert(
    fc.property(bytes, fc.nat(2000), fc.nat(7), (whole, cut, shift) => {
      // Columns of a message begin anywhere in its memory.
      const memory = new Uint8Array(whole.byteLength + shift);
      memory.set(whole, shift);
      const shifted = memory.subarray(shift);
      expect(crc32(shifted)).toBe(nodeCrc32(whole));
      expect(crc32(shifted.subarray(cut), crc32(shifted.subarray(0, cut)))).toBe(nodeCrc32(whole));
    }),
    { numRuns: 1000 },
  );
});

test.each([0, 1, 255, 256, 257, 1 << 20])('a checksum of %i bytes goes on from one of other bytes', (byteLength) => {
  const before = Buffer.from('before');
  const bytes = new Uint8Array(byteLength).map((_, i) => i * 31);
  expect(crc32(bytes, crc32(before))).toBe(nodeCrc32(Buffer.concat([before, bytes])));
});
