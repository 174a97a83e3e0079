import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { StorageError } from '../errors.js';
import type { Selection } from '../rows/select.js';
import { invalid } from './validate.js';

/** Rows and columns as a caller names them. */
export interface NamedSelection {
  /** Names of variables, in the order wanted; empty: all. */
  readonly columns: readonly string[];
  readonly firstRow: number;
  /** Undefined: to the end. More than there are: to the end. */
  readonly rowCount: number | undefined;
}

/** Finds what is named in a result. COLUMN_NOT_FOUND, ROW_RANGE_INVALID, REQUEST_INVALID for a column named twice. */
export function selectionOf(manifest: Manifest, named: NamedSelection): Selection {
  const stored = Number(manifest.rowCount);
  const { firstRow, rowCount = stored } = named;
  if (firstRow > stored) {
    throw new StorageError(
      'ROW_RANGE_INVALID',
      `first_row is ${firstRow}, but "${manifest.key}" has ${stored} rows. Ask for 0 to ${stored}.`,
    );
  }
  return { columns: columnsOf(manifest, named.columns), firstRow, rowCount: Math.min(rowCount, stored - firstRow) };
}

/** Indices of the columns with these names; of all where none is named. COLUMN_NOT_FOUND, REQUEST_INVALID for one named twice. */
export function columnsOf(manifest: Manifest, names: readonly string[]): number[] {
  const variables = manifest.problem?.variables ?? [];
  if (names.length === 0) return variables.map((_, index) => index);
  const indexOf = new Map(variables.map((variable, index) => [variable.name, index]));
  if (new Set(names).size !== names.length) throw invalid('columns names one twice');
  return names.map((name) => {
    const index = indexOf.get(name);
    if (index !== undefined) return index;
    const has = variables.slice(0, 20).map((variable) => variable.name);
    throw new StorageError(
      'COLUMN_NOT_FOUND',
      `"${manifest.key}" has no column ${JSON.stringify(name)}. It has ${has.join(', ')}${variables.length > 20 ? ', …' : ''}.`,
    );
  });
}
