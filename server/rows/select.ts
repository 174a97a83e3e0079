import type { Batch, Schema } from './batch.js';
import { selectColumns, sliceBatch } from './slice.js';

/** Which rows and columns to read. */
export interface Selection {
  /** Indices into the problem's variables, in the order wanted. */
  readonly columns: readonly number[];
  readonly firstRow: number;
  /** firstRow + rowCount is at most the result's row count. */
  readonly rowCount: number;
}

/** The selected rows and columns of a batch, as views; undefined where it has none of the rows. */
export function selectRows(schema: Schema, batch: Batch, selection: Selection): Batch | undefined {
  const selectedSchema = selection.columns.map((index) => {
    const type = schema[index];
    if (type === undefined) throw new RangeError(`a schema of ${schema.length} columns has no column ${index}`);
    return type;
  });
  return sliceRows(selectedSchema, selectColumns(batch, selection.columns), selection);
}

/** The selected rows of a batch that has the selected columns only; undefined where it has none of the rows. */
export function sliceRows(schema: Schema, batch: Batch, selection: Selection): Batch | undefined {
  const from = Math.max(selection.firstRow - batch.firstRow, 0);
  const to = Math.min(selection.firstRow + selection.rowCount - batch.firstRow, batch.rowCount);
  return from >= to ? undefined : sliceBatch(schema, batch, from, to - from);
}
