import { RowClass } from './row-classes.js';
import { extentOf, panned, type ValueRange } from './value-range.js';

/** Some way behind the front, as a part of its extent, is shown with it. */
const BEHIND = 1.2;
const BEFORE = 0.12;
/** Where all rows need no more than so many times the place of the front's surroundings, they are shown at first. */
const FAR = 2.5;
/** A front of few rows is shown with so much of the feasible ones, whose middle is told from so many. */
const SHARE = 0.5;
const LOOKED_AT = 2_000;

/**
 * The surroundings of the front on one axis, for a plot: from a little before it to some way behind it, or as far as the better half of the
 * feasible rows where that is farther, but not beyond all rows (`within`). Undefined without a front that has an extent.
 */
export function rangeNearFront(
  axis: { readonly values: ArrayLike<number>; readonly isLog: boolean; readonly isLargerBetter: boolean },
  classes: Uint8Array,
  within: ValueRange | undefined,
): ValueRange | undefined {
  const { values, isLog, isLargerBetter } = axis;
  const onFront: number[] = [];
  for (let row = 0; row < values.length; row++)
    if (classes[row] === RowClass.FRONT) onFront.push(values[row] as number);
  const front = extentOf(onFront, isLog);
  if (within === undefined || front === undefined || !(front.max > front.min)) return undefined;
  const [before, behind] = isLargerBetter ? [BEHIND, BEFORE] : [BEFORE, BEHIND];
  const half = betterHalf(values, classes, isLargerBetter) ?? front.min;
  const min = Math.min(panned(front, -before, isLog).min, half);
  const max = Math.max(panned(front, behind, isLog).max, half);
  return { min: Math.max(min, within.min), max: Math.min(max, within.max) };
}

/** Whether most of an axis that shows all rows would lie away from the front's surroundings. */
export function isFarBeyond(near: ValueRange, all: ValueRange | undefined, isLog: boolean): boolean {
  return sizeOf(all, isLog) > FAR * sizeOf(near, isLog);
}

function sizeOf(range: ValueRange | undefined, isLog: boolean): number {
  if (range === undefined) return 0;
  return isLog ? Math.log(range.max / range.min) : range.max - range.min;
}

/** The value that about half of the feasible rows are better than; undefined where none has one. */
function betterHalf(values: ArrayLike<number>, classes: Uint8Array, isLargerBetter: boolean): number | undefined {
  const step = Math.max(1, Math.floor(values.length / LOOKED_AT));
  const looked: number[] = [];
  for (let row = 0; row < values.length; row += step) {
    const value = values[row] as number;
    if (classes[row] !== RowClass.INFEASIBLE && Number.isFinite(value)) looked.push(value);
  }
  looked.sort((a, b) => (isLargerBetter ? b - a : a - b));
  return looked[Math.floor((looked.length - 1) * SHARE)];
}
