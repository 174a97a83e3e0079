import { RowClass } from '../../../server/rows/front/row-classes.js';
import { extentOf, panned, type AxisRange } from './scale.js';

/** Some way behind the front, as a part of its extent, is shown with it. */
const BEHIND = 1.2;
const BEFORE = 0.12;
/** A front of few rows is shown with so much of the feasible ones, whose middle is told from so many. */
const SHARE = 0.5;
const LOOKED_AT = 2_000;

/**
 * The surroundings of the front on one axis: from a little before it to some way behind it, or as far as the better half of the
 * feasible rows where that is farther, but not beyond all rows (`within`). Undefined without a front that has an extent.
 */
export function rangeNearFront(
  axis: { readonly values: Float64Array; readonly isLog: boolean; readonly isLargerBetter: boolean },
  classes: Uint8Array,
  within: AxisRange | undefined,
): AxisRange | undefined {
  const { values, isLog, isLargerBetter } = axis;
  const front = extentOf(
    values.filter((_, row) => classes[row] === RowClass.FRONT),
    isLog,
  );
  if (within === undefined || front === undefined || !(front.max > front.min)) return undefined;
  const [before, behind] = isLargerBetter ? [BEHIND, BEFORE] : [BEFORE, BEHIND];
  const half = betterHalf(values, classes, isLargerBetter) ?? front.min;
  const min = Math.min(panned(front, -before, isLog).min, half);
  const max = Math.max(panned(front, behind, isLog).max, half);
  return { min: Math.max(min, within.min), max: Math.min(max, within.max) };
}

/** The value that about half of the feasible rows are better than; undefined where none has one. */
function betterHalf(values: Float64Array, classes: Uint8Array, isLargerBetter: boolean): number | undefined {
  const step = Math.max(1, Math.floor(values.length / LOOKED_AT));
  const looked: number[] = [];
  for (let row = 0; row < values.length; row += step) {
    const value = values[row] as number;
    if (classes[row] !== RowClass.INFEASIBLE && Number.isFinite(value)) looked.push(value);
  }
  looked.sort((a, b) => (isLargerBetter ? b - a : a - b));
  return looked[Math.floor((looked.length - 1) * SHARE)];
}
