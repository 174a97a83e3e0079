/** Headers and buffers of files begin at multiples of so many bytes: a cache line, and what Arrow recommends. */
export const ALIGNMENT_BYTES = 64;

/** The next multiple of the alignment. */
export function aligned(byteLength: number): number {
  return Math.ceil(byteLength / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}
