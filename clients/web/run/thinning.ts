import { RowClass, type ColumnsOf } from '../../../server/rows/front/row-classes.js';
import type { Goals } from '../../../server/rows/front/goals.js';

/**
 * The rows that stay where a run has become too many: the best of each objective; the front and each row that was the best so far in an
 * objective, as long as they are at most half of `wanted`; and of the others as many as there is room for, evenly. Rows from `classes.length` on, which
 * came since, all stay. Ascending.
 */
export function thinned(
  goals: Goals,
  column: ColumnsOf,
  classes: Uint8Array,
  rowCount: number,
  wanted: number,
): Uint32Array {
  const keeps = improvements(goals, column, classes);
  for (let row = 0; row < classes.length; row++) if (classes[row] === RowClass.FRONT) keeps[row] ||= TELLING;
  const best = indices(keeps, BEST);
  const telling = evenly(indices(keeps, TELLING), Math.floor(wanted / 2) - best.length);
  const others = evenly(indices(keeps, OTHER), wanted - best.length - telling.length);
  const since = Uint32Array.from({ length: rowCount - classes.length }, (_, i) => classes.length + i);
  return Uint32Array.from([...best, ...telling, ...others, ...since]).sort();
}

const [OTHER, TELLING, BEST] = [0, 1, 2];

function improvements({ objectives }: Goals, column: ColumnsOf, classes: Uint8Array): Uint8Array {
  const improved = new Uint8Array(classes.length);
  for (const { index, isMaximized } of objectives) {
    const values = column(index);
    let best = isMaximized ? -Infinity : Infinity;
    let bestRow = -1;
    for (let row = 0; row < classes.length; row++) {
      const value = values[row] as number;
      if (classes[row] === RowClass.INFEASIBLE || !(isMaximized ? value > best : value < best)) continue;
      best = value;
      bestRow = row;
      improved[row] ||= TELLING;
    }
    if (bestRow >= 0) improved[bestRow] = BEST;
  }
  return improved;
}

function indices(mask: Uint8Array, wanted: number): Uint32Array {
  const found = new Uint32Array(mask.length);
  let count = 0;
  for (let row = 0; row < mask.length; row++) if (mask[row] === wanted) found[count++] = row;
  return found.subarray(0, count);
}

function evenly(rows: Uint32Array, count: number): Uint32Array {
  if (rows.length <= count) return rows;
  return Uint32Array.from({ length: count }, (_, i) => rows[Math.floor((i * rows.length) / count)] as number);
}
