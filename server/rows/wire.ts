import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ValueType } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Column as WireColumn, RowBatch } from '../../proto/gen/optistore/v1/rows_pb.js';
import type { Batch, Column } from './batch.js';
import { batchCrc32 } from './checksum.js';

const NO_BYTES = new Uint8Array(0);

/**
 * A batch as it is sent, with its checksum. `variables`: of its columns, in their order. `rowNumbers`: of a batch of a
 * result set, see RowBatch.row_numbers.
 */
export function toRowBatch(batch: Batch, variables: readonly Variable[], rowNumbers?: Uint8Array): RowBatch {
  // Literals: `create` reflects over the descriptor, for each column anew.
  return {
    $typeName: 'optistore.v1.RowBatch',
    firstRow: BigInt(batch.firstRow),
    rowCount: batch.rowCount,
    columns: batch.columns.map((column, i) => ({
      $typeName: 'optistore.v1.Column',
      values: valuesOf(column, variables[i]?.valueType ?? ValueType.UNSPECIFIED),
      validity: column.validity ?? NO_BYTES,
      padding: NO_BYTES,
    })),
    crc32: batchCrc32(batch),
    ...(rowNumbers && { rowNumbers }),
  };
}

function valuesOf(column: Column, type: ValueType): WireColumn['values'] {
  switch (type) {
    case ValueType.FLOAT64:
      return { case: 'float64Values', value: column.values };
    case ValueType.INT64:
      return { case: 'int64Values', value: column.values };
    case ValueType.BOOL:
      return { case: 'boolValues', value: column.values };
    case ValueType.STRING: {
      const offsets = column.offsets ?? NO_BYTES;
      const value = { $typeName: 'optistore.v1.StringValues' as const, offsets, utf8: column.values };
      return { case: 'stringValues', value };
    }
    case ValueType.UNSPECIFIED:
      return { case: undefined };
    default:
      return type satisfies never;
  }
}
