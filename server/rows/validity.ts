import { bitmapBytes } from './batch.js';

/** Copies `count` bits from one bitmap into another, which has zeros there. */
export function copyBits(source: Uint8Array, from: number, target: Uint8Array, to: number, count: number): void {
  if ((from & 7) === 0 && (to & 7) === 0) {
    const whole = count >>> 3;
    target.set(source.subarray(from >>> 3, (from >>> 3) + whole), to >>> 3);
    from += whole * 8;
    to += whole * 8;
    count -= whole * 8;
  }
  for (let i = 0; i < count; i++) {
    const bit = ((source[(from + i) >>> 3] ?? 0) >>> ((from + i) & 7)) & 1;
    const place = (to + i) >>> 3;
    target[place] = (target[place] ?? 0) | (bit << ((to + i) & 7));
  }
}

/** Sets `count` bits of a bitmap. */
export function setBits(target: Uint8Array, to: number, count: number): void {
  for (let i = to; i < to + count;) {
    if ((i & 7) === 0 && to + count - i >= 8) {
      target[i >>> 3] = 0xff;
      i += 8;
    } else {
      target[i >>> 3] = (target[i >>> 3] ?? 0) | (1 << (i & 7));
      i++;
    }
  }
}

/** Bits `from` to `from + count` as a bitmap of their own; undefined when all are set. */
export function sliceBits(source: Uint8Array, from: number, count: number): Uint8Array | undefined {
  const bits = new Uint8Array(bitmapBytes(count));
  copyBits(source, from, bits, 0, count);
  return isAllSet(bits, count) ? undefined : bits;
}

/** Whether the first `count` bits are all set. */
export function isAllSet(bits: Uint8Array, count: number): boolean {
  const whole = count >>> 3;
  for (let i = 0; i < whole; i++) if (bits[i] !== 0xff) return false;
  const rest = (1 << (count & 7)) - 1;
  return ((bits[whole] ?? 0) & rest) === rest;
}

/** One byte a row, 1 where the bit is set: how validity is checksummed, so that cutting does not matter. */
export function bitsAsBytes(bits: Uint8Array, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let i = 0; i < count; i++) bytes[i] = ((bits[i >>> 3] ?? 0) >>> (i & 7)) & 1;
  return bytes;
}
