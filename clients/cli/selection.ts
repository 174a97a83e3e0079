import type { LoadOptions, StoreRole } from '../typescript/index.js';

/** Flags that say which rows and columns of a result. */
export interface SelectionFlags {
  readonly columns?: string[];
  readonly rows?: [number, number?];
  readonly revision?: bigint;
  readonly set?: string;
  readonly from?: StoreRole;
}

/** What they ask a load for. */
export function selectionOf(flags: SelectionFlags): LoadOptions {
  return {
    ...(flags.columns && { columns: flags.columns }),
    ...(flags.rows && { rows: flags.rows }),
    ...(flags.revision !== undefined && { revision: flags.revision }),
    ...(flags.set !== undefined && { resultSet: flags.set }),
    ...(flags.from !== undefined && { from: flags.from }),
  };
}
