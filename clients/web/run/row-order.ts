import type { TableOrder } from '../parts/virtual-table.js';
import type { RunRows } from '../rows/run-rows.js';

/** The rows that are shown, ordered by a column of the table (0 is the row's number); what is missing or NaN comes last either way. */
export function orderedRows(
  { columns, rowCount }: RunRows,
  isShown: (row: number) => boolean,
  order: TableOrder | undefined,
): Uint32Array {
  const rows = new Uint32Array(rowCount);
  let count = 0;
  for (let row = 0; row < rowCount; row++) if (isShown(row)) rows[count++] = row;
  const shown = rows.subarray(0, count);
  if (order === undefined) return shown;
  const column = columns[order.column - 1];
  if (column === undefined) return order.isDescending ? shown.reverse() : shown;
  const sign = order.isDescending ? -1 : 1;
  if (column.kind === 'number') return sortByNumber(shown, column.values, sign);
  const texts = new Map<number, string | undefined>();
  for (const row of shown) texts.set(row, column.text(row));
  return shown.sort((a, b) => compareTexts(texts.get(a), texts.get(b), sign) || a - b);
}

function sortByNumber(rows: Uint32Array, values: Float64Array, sign: 1 | -1): Uint32Array {
  return rows.sort((a, b) => {
    const [left, right] = [values[a] as number, values[b] as number];
    if (left === right) return a - b;
    if (Number.isNaN(left) || Number.isNaN(right))
      return Number(Number.isNaN(left)) - Number(Number.isNaN(right)) || a - b;
    return left < right ? -sign : sign;
  });
}

function compareTexts(a: string | undefined, b: string | undefined, sign: 1 | -1): number {
  if (a === b) return 0;
  if (a === undefined || b === undefined) return a === undefined ? 1 : -1;
  return a < b ? -sign : sign;
}
