import { crc32 as nodeCrc32 } from 'node:zlib';
import { crc32 as simdCrc32 } from '@node-rs/crc32';
import type { Batch, Column } from './batch.js';

/** A call of @node-rs/crc32 takes longer than one of Node's own; of more bytes than this it is two to three times as fast. */
const SHORT_BYTES = 256;

/** CRC-32 (IEEE) of bytes, going on from the checksum of what lies before them. */
export function crc32(bytes: Uint8Array, before = 0): number {
  if (bytes.byteLength > SHORT_BYTES) return simdCrc32(bytes, before);
  // Without memory behind it, an empty array would have 0, whatever came before.
  return bytes.byteLength === 0 ? before : nodeCrc32(bytes, before);
}

/** A batch whose columns know the checksums of their values, for all who need them. */
export function checksummed(batch: Batch): Batch {
  const known = (column: Column) =>
    column.valuesCrc === undefined ? { ...column, valuesCrc: crc32(column.values) } : column;
  return { ...batch, columns: batch.columns.map(known) };
}

const POLYNOMIAL = 0xedb88320; // CRC-32 (IEEE), reflected

/** Product of two polynomials modulo the CRC's, bits reflected: as in zlib's `multmodp`. */
function multiplyModulo(a: number, b: number): number {
  let product = 0;
  let factor = b;
  for (let mask = 0x80000000; mask !== 0; mask >>>= 1) {
    if ((a & mask) !== 0) product ^= factor;
    factor = (factor & 1) !== 0 ? (factor >>> 1) ^ POLYNOMIAL : factor >>> 1;
  }
  return product >>> 0;
}

/** x^(2^n) modulo the CRC's polynomial, for n from 0. */
const POWERS_OF_X = (() => {
  const powers = new Uint32Array(64);
  powers[0] = 0x40000000; // x^1
  for (let n = 1; n < powers.length; n++) powers[n] = multiplyModulo(powers[n - 1] ?? 0, powers[n - 1] ?? 0);
  return powers;
})();

/** Batches of a run have the same few lengths, so the shift of a length is computed once. */
const shiftOfLength = new Map<number, number>();
const SHIFTS_MAX = 4096;

function shiftFor(byteLength: number): number {
  const known = shiftOfLength.get(byteLength);
  if (known !== undefined) return known;
  let shift = 0x80000000; // x^0
  let remaining = byteLength;
  for (let n = 3; remaining > 0; n++) {
    if (remaining % 2 === 1) shift = multiplyModulo(POWERS_OF_X[n] ?? 0, shift);
    remaining = Math.floor(remaining / 2);
  }
  if (shiftOfLength.size >= SHIFTS_MAX) shiftOfLength.clear();
  shiftOfLength.set(byteLength, shift);
  return shift;
}

/**
 * CRC-32 of two runs of bytes behind each other, from the CRC of each and the second's length. So one pass
 * over a column serves its block, its result and the wire.
 * Source: M. Adler, zlib, crc32_combine.
 */
export function crc32Combine(first: number, second: number, secondByteLength: number): number {
  if (secondByteLength === 0) return first;
  return (multiplyModulo(shiftFor(secondByteLength), first) ^ second) >>> 0;
}

/** CRC-32 over the columns in order, each column's values then its validity: `RowBatch.crc32`. */
export function batchCrc32(batch: Batch): number {
  let crc = 0;
  for (const column of batch.columns) {
    if (column.offsets !== undefined) crc = crc32(column.offsets, crc);
    crc =
      column.valuesCrc === undefined
        ? crc32(column.values, crc)
        : crc32Combine(crc, column.valuesCrc, column.values.byteLength);
    if (column.validity !== undefined) crc = crc32(column.validity, crc);
  }
  return crc;
}
