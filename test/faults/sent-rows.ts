import { expect } from 'vitest';
import type { RowBatch } from '../../proto/gen/optistore/v1/rows_pb.js';
import { schemaOf, type Batch, type Column } from '../../server/rows/batch.js';
import { gatherBatches } from '../../server/rows/gather.js';
import { sliceBatch } from '../../server/rows/slice.js';
import { isAllSet } from '../../server/rows/validity.js';
import { toRowBatch } from '../../server/rows/wire.js';
import { MIXED, mixedRun } from '../rpc/sample-runs.js';

const SCHEMA = schemaOf(MIXED.variables);
const SOURCE_ROWS = 300_000;
/** Rows that one piece has at most. */
export const PIECE_ROWS_MAX = 40_000;

/** All rows that are ever sent: each is at one place of it, and no two are the same. */
let source: Batch | undefined;

/** Rows of all types, with missing ones and NaNs, from a place of the source on. */
export interface Piece {
  readonly place: number;
  readonly rowCount: number;
}

/** Where a piece may begin. */
export function anyPlace(roll: () => number): number {
  return Math.floor(roll() * (SOURCE_ROWS - PIECE_ROWS_MAX));
}

/** How many rows pieces or batches have together. */
export function rowCountOf(parts: readonly { readonly rowCount: number }[]): number {
  return parts.reduce((sum, { rowCount }) => sum + rowCount, 0);
}

/** The first rows of pieces. */
export function firstOf(pieces: readonly Piece[], rowCount: number): Piece[] {
  const first: Piece[] = [];
  let left = rowCount;
  for (const piece of pieces) {
    if (left === 0) break;
    first.push({ place: piece.place, rowCount: Math.min(piece.rowCount, left) });
    left -= Math.min(piece.rowCount, left);
  }
  return first;
}

function rowsAt({ place, rowCount }: Piece, firstRow: number): Batch {
  source ??= mixedRun(SOURCE_ROWS);
  return { ...sliceBatch(SCHEMA, source, place, rowCount), firstRow };
}

/** A piece as it is sent, as rows from `firstRow` on. */
export function toSend(piece: Piece, firstRow: number): RowBatch {
  return toRowBatch(rowsAt(piece, firstRow), MIXED.variables);
}

/** Fails unless the rows are those of the pieces, one behind the other, bit for bit. */
export function expectRows(what: string, loaded: readonly Batch[], pieces: readonly Piece[]): void {
  const wanted: Batch[] = [];
  for (const piece of pieces) if (piece.rowCount > 0) wanted.push(rowsAt(piece, rowCountOf(wanted)));
  const count = rowCountOf(loaded);
  expect(count, `${what}: rows`).toBe(rowCountOf(pieces));
  if (count === 0) return;
  const [is, was] = [gatherBatches(SCHEMA, loaded), gatherBatches(SCHEMA, wanted)];
  for (const [i, { name }] of MIXED.variables.entries())
    expect(isSame(is.columns[i], was.columns[i], count), `${what}: column ${name} is what was sent`).toBe(true);
}

function isSame(a: Column | undefined, b: Column | undefined, rowCount: number): boolean {
  if (a === undefined || b === undefined) return false;
  const buffersOf = ({ values, offsets, validity }: Column) => {
    const isMeant = validity !== undefined && !isAllSet(validity, rowCount);
    return [values, offsets ?? new Uint8Array(), isMeant ? validity : new Uint8Array()];
  };
  const [ours, theirs] = [buffersOf(a), buffersOf(b)];
  return ours.every((buffer, i) => Buffer.from(buffer).equals(theirs[i] ?? new Uint8Array()));
}
