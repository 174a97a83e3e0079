import { ValueType } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Column } from './batch.js';
import { offsetsView } from './slice.js';
import { isAllSet } from './validity.js';

/** What a missing slot holds is not kept, so that equal data has equal bytes and checksums. A copy, where any is missing. */
export function canonical(column: Column, type: ValueType, rowCount: number): Column {
  const bits = column.validity as Uint8Array;
  if (isAllSet(bits, rowCount)) return { ...column, validity: undefined };
  const validity = new Uint8Array(bits);
  const rest = rowCount & 7;
  if (rest !== 0) validity[validity.length - 1] = (validity[validity.length - 1] ?? 0) & ((1 << rest) - 1);
  const isThere = (row: number) => (((validity[row >>> 3] ?? 0) >>> (row & 7)) & 1) === 1;
  if (type === ValueType.STRING) return { ...withoutMissingText(column, rowCount, isThere), validity };
  const width = type === ValueType.BOOL ? 1 : 8;
  const values = new Uint8Array(column.values); // without its checksum: it changes
  for (let row = 0; row < rowCount; row++) if (!isThere(row)) values.fill(0, row * width, (row + 1) * width);
  return { values, offsets: undefined, validity };
}

function withoutMissingText(column: Column, rowCount: number, isThere: (row: number) => boolean) {
  const from = offsetsView(column);
  const values = new Uint8Array(column.values.byteLength);
  const offsets = new Uint8Array((rowCount + 1) * 4);
  const to = new DataView(offsets.buffer);
  let at = 0;
  for (let row = 0; row < rowCount; row++) {
    if (isThere(row)) {
      const text = column.values.subarray(from.getUint32(row * 4, true), from.getUint32(row * 4 + 4, true));
      values.set(text, at);
      at += text.byteLength;
    }
    to.setUint32((row + 1) * 4, at, true);
  }
  return { values: values.subarray(0, at), offsets };
}
