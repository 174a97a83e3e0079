/** Row numbers as RowBatch.row_numbers has them, 8 bytes each, as numbers: a row's number is exact as one. */
export function numbersFromBytes(pieces: readonly Uint8Array[]): Float64Array {
  const numbers = new Float64Array(pieces.reduce((sum, { byteLength }) => sum + byteLength / 8, 0));
  let i = 0;
  for (const bytes of pieces) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.byteLength; at += 8)
      numbers[i++] = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
  }
  return numbers;
}

/** Writes the numbers of `count` rows from `firstRow` on; gives where the next ones go. */
export function writeNumbers(view: DataView, at: number, firstRow: number, count: number): number {
  for (let row = firstRow; row < firstRow + count; row++, at += 8) {
    view.setUint32(at, row >>> 0, true);
    view.setUint32(at + 4, Math.floor(row / 2 ** 32), true);
  }
  return at;
}
