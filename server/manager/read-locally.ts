import type { FileBlocks } from '../backends/backend.js';
import type { Batch } from '../rows/batch.js';
import type { Selection } from '../rows/select.js';
import type { ServedPlaces } from './role-store.js';
import { ServedRows } from './served-rows.js';
import type { Role } from './stores.js';

/** How rows of a revision are got. */
export interface Ways {
  readonly locate: (selection: Selection) => ServedPlaces | undefined;
  readonly read: (selection: Selection) => ServedRows;
}

/**
 * Rows of a revision for who opens files of this machine: places where they lie in files. Where they do not, and from the row on where
 * that can't be told, they are read as ever: from the cache or from another copy, with a repair of this one.
 */
export function readLocally(selection: Selection, { locate, read }: Ways): ServedPlaces {
  const places = locate(selection);
  if (places === undefined) return read(selection);
  const end = selection.firstRow + selection.rowCount;
  let serving: { readonly servedFrom: Role } = places;
  const rows = async function* (): AsyncGenerator<Batch | FileBlocks> {
    let nextRow = selection.firstRow;
    try {
      for await (const told of places) {
        nextRow = told.firstRow + told.rowCount;
        yield told;
      }
      return;
    } catch {
      // Whatever it was: the read fails by it as well, or does without.
    }
    if (nextRow >= end) return;
    const rest = read({ ...selection, firstRow: nextRow, rowCount: end - nextRow });
    serving = rest;
    yield* rest;
  };
  return new ServedRows(() => serving.servedFrom, rows());
}
