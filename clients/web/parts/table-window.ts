/** Which part of a table is seen. */
import type { TableColumn } from './virtual-table.js';

/** Where a table is scrolled to and how large its window is, in CSS pixels. */
export interface TablePlace {
  readonly top: number;
  readonly left: number;
  readonly width: number;
  readonly height: number;
  /** Size of its text. */
  readonly em: number;
}

/** Rows above and below what is seen, so that a fast scroll does not show nothing. */
const MARGIN_ROWS = 8;

/** Where each column begins, and behind the last where it ends. */
export function lefts(columns: readonly TableColumn[], em: number): number[] {
  const edges = [0];
  for (const { widthEm } of columns) edges.push((edges.at(-1) ?? 0) + Math.round(widthEm * em));
  return edges;
}

/** The column at a distance from the left. */
export function firstColumnAt(edges: readonly number[], left: number): number {
  let [low, high] = [0, edges.length - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((edges[middle + 1] ?? Infinity) <= left) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The rows that are to be in the document: from the first to before the last. */
export function rowsAround({ top, height }: TablePlace, rowHeight: number, rowCount: number): [number, number] {
  if (rowHeight === 0 || height === 0) return [0, 0];
  const first = Math.max(0, Math.floor(top / rowHeight) - MARGIN_ROWS);
  return [first, Math.min(rowCount, Math.ceil((top + height) / rowHeight) + MARGIN_ROWS)];
}
