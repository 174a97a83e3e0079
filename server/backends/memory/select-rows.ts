import type { Batch, Schema } from '../../rows/batch.js';
import { selectColumns, sliceBatch } from '../../rows/slice.js';
import type { Selection } from '../backend.js';

/** The selected rows and columns of a batch, as views; undefined where it has none of the rows. */
export function selectRows(schema: Schema, batch: Batch, selection: Selection): Batch | undefined {
  const from = Math.max(selection.firstRow - batch.firstRow, 0);
  const to = Math.min(selection.firstRow + selection.rowCount - batch.firstRow, batch.rowCount);
  if (from >= to) return undefined;
  const selectedSchema = selection.columns.map((index) => {
    const type = schema[index];
    if (type === undefined) throw new RangeError(`a schema of ${schema.length} columns has no column ${index}`);
    return type;
  });
  return sliceBatch(selectedSchema, selectColumns(batch, selection.columns), from, to - from);
}
