import type { ValueRange } from '../../../server/rows/front/value-range.js';
export { extentOf, panned } from '../../../server/rows/front/value-range.js';

/** What an axis shows. */
export type AxisRange = ValueRange;

const MARGIN = 0.04;
/** Solvers punish with the largest double: a range from one to the other has a size still. */
const LIMIT = Number.MAX_VALUE / 8;
/** A range that still fits so well stays: scales that grow go in steps. */
const SHARE_KEPT = 0.55;
const GROWTH_MARGIN = 0.18;

/** The range in which an extent is shown: the one before while that fits, else one with room around it. */
export function rangeAround(extent: AxisRange | undefined, isLog = false, before?: AxisRange): AxisRange {
  if (extent === undefined) return before ?? (isLog ? { min: 0.1, max: 10 } : { min: 0, max: 1 });
  const [low, high] = isLog
    ? [Math.log10(extent.min), Math.log10(extent.max)]
    : [Math.max(-LIMIT, extent.min), Math.min(LIMIT, extent.max)];
  if (before !== undefined) {
    const [from, to] = isLog ? [Math.log10(before.min), Math.log10(before.max)] : [before.min, before.max];
    if (low >= from && high <= to && high - low >= (to - from) * SHARE_KEPT) return before;
  }
  const size = high > low ? high - low : Math.abs(low) || 1;
  const margin = size * (before === undefined ? MARGIN : GROWTH_MARGIN);
  const range = { min: low - margin, max: high + margin };
  return isLog ? { min: 10 ** range.min, max: 10 ** range.max } : range;
}

/** A range made smaller or larger by a factor around a place from 0 to 1 in it. */
export function zoomed({ min, max }: AxisRange, factor: number, place: number, isLog = false): AxisRange {
  const [low, high] = isLog ? [Math.log10(min), Math.log10(max)] : [min, max];
  const middle = low + (high - low) * place;
  const range = { min: middle - (middle - low) * factor, max: middle + (high - middle) * factor };
  return isLog ? { min: 10 ** range.min, max: 10 ** range.max } : range;
}
