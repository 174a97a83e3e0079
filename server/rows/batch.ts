import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ValueType } from '../../proto/gen/optistore/v1/problem_pb.js';

/**
 * One column of a batch, as bytes: what travels, what is stored, what is cached. Never changed once made.
 * Which type it has, only the schema says.
 */
export interface Column {
  /** Raw little-endian values, 8, 8 or 1 bytes each; of strings, their UTF-8 bytes. Missing slots are zero or empty. */
  readonly values: Uint8Array;
  /** Of strings: rowCount + 1 offsets into `values`, u32 LE, the first 0. Undefined for all else. */
  readonly offsets: Uint8Array | undefined;
  /** Bitmap of the values that are there, least significant bit first. Undefined: all are. */
  readonly validity: Uint8Array | undefined;
  /** CRC-32 of `values`, where it is known already: one pass over the bytes serves the wire and the store. */
  readonly valuesCrc?: number;
}

/** Consecutive rows that were checked against their schema. */
export interface Batch {
  /** Number of the first row in the result. */
  readonly firstRow: number;
  /** Number of rows, 1 or more. */
  readonly rowCount: number;
  /** In the schema's order. */
  readonly columns: readonly Column[];
}

/** The types of a batch's columns, in order. */
export type Schema = readonly ValueType[];

/** The schema that a problem's variables make. */
export function schemaOf(variables: readonly Variable[]): Schema {
  return variables.map((variable) => variable.valueType);
}

/** Bytes of one value of a type; undefined for strings, whose length varies. */
export function valueWidth(type: ValueType): number | undefined {
  switch (type) {
    case ValueType.FLOAT64:
    case ValueType.INT64:
      return 8;
    case ValueType.BOOL:
      return 1;
    case ValueType.STRING:
      return undefined;
    case ValueType.UNSPECIFIED:
      throw new RangeError('a checked schema has no unspecified type');
    default:
      return type satisfies never;
  }
}

/** Bytes of a column's buffers together. */
export function columnBytes(column: Column): number {
  return column.values.byteLength + (column.offsets?.byteLength ?? 0) + (column.validity?.byteLength ?? 0);
}

/** Bytes of a batch's buffers together. */
export function batchBytes(batch: Batch): number {
  let total = 0;
  for (const column of batch.columns) total += columnBytes(column);
  return total;
}

/** Number of bytes of a bitmap for so many rows. */
export function bitmapBytes(rowCount: number): number {
  return (rowCount + 7) >>> 3;
}

/** The column's buffers in the order in which they are stored and in which `RowBatch.crc32` goes over them. */
export function columnBuffers(column: Column): Uint8Array[] {
  const buffers = column.offsets === undefined ? [column.values] : [column.offsets, column.values];
  if (column.validity !== undefined) buffers.push(column.validity);
  return buffers;
}
