/** From a smallest to a largest value. */
export interface ValueRange {
  readonly min: number;
  readonly max: number;
}

/** Smallest and largest finite value; on a logarithmic axis of those above 0. Undefined: there is none. */
export function extentOf(values: ArrayLike<number>, isLog = false): ValueRange | undefined {
  let [min, max] = [Infinity, -Infinity];
  for (let row = 0; row < values.length; row++) {
    const value = values[row] as number;
    if (!Number.isFinite(value) || (isLog && value <= 0)) continue;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return min > max ? undefined : { min, max };
}

/** A range moved by a part of its size. */
export function panned({ min, max }: ValueRange, share: number, isLog = false): ValueRange {
  if (isLog) {
    const step = (max / min) ** share;
    return { min: min * step, max: max * step };
  }
  const step = (max - min) * share;
  return { min: min + step, max: max + step };
}
