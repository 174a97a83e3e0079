import { ValueType } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { aligned } from '../../rows/alignment.js';
import type { BufferCheck } from '../../rows/arrow-ipc.js';
import type { Batch, Column, Schema } from '../../rows/batch.js';
import { bitsAsBytes } from '../../rows/validity.js';
import type { BlockEntry, BlockHeader } from '../blocks/block-format.js';

/** Where the buffers of a record batch lie. Undefined: the checks are not those of such a schema. */
export function layOut(schema: Schema, entry: BlockEntry, checks: readonly BufferCheck[]): BlockHeader | undefined {
  let at = entry.headerBytes;
  let next = 0;
  const take = () => {
    const { byteLength, crc } = checks[next++] ?? { byteLength: 0, crc: 0 };
    const place = { at, byteLength, crc };
    at += aligned(byteLength);
    return place;
  };
  const columns = schema.map((type) => {
    const validity = take();
    const offsets = type === ValueType.STRING ? take() : undefined;
    return { offsets, values: take(), validity: validity.byteLength === 0 ? undefined : validity };
  });
  return next === checks.length && at === entry.blockBytes ? { entry, mark: 0n, columns } : undefined;
}

/** The selected columns as a batch has them: bools as a byte each. */
export function fromArrow(schema: Schema, batch: Batch): Batch {
  if (!schema.includes(ValueType.BOOL)) return batch;
  const columns = batch.columns.map((column, i): Column => {
    if (schema[i] !== ValueType.BOOL) return column;
    return { values: bitsAsBytes(column.values, batch.rowCount), offsets: undefined, validity: column.validity };
  });
  return { ...batch, columns };
}
