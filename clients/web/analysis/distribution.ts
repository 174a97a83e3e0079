/** How often values fall into bins of equal width. */
export interface Histogram {
  /** Edges of the first and the last bin. */
  readonly from: number;
  readonly to: number;
  readonly counts: Uint32Array;
  /** Of the rows that are selected; undefined while none is. */
  readonly selected: Uint32Array | undefined;
  /** Values that are missing, NaN or infinite. */
  readonly leftOut: number;
}

const BINS = 48;

/** The histogram of a column. Whole numbers of a small range have a bin each. */
export function histogramOf(values: Float64Array, mask: Uint8Array | undefined): Histogram {
  const range = rangeOf(values);
  if (range === undefined)
    return { from: 0, to: 1, counts: new Uint32Array(1), selected: mask && new Uint32Array(1), leftOut: values.length };
  const { from, to, bins } = binsOf(range);
  const counts = new Uint32Array(bins);
  const selected = mask && new Uint32Array(bins);
  // By halves: the distance of the largest numbers is no number; and what is too near to be told apart is in the first bin.
  const size = to / 2 - from / 2;
  let leftOut = 0;
  for (let row = 0; row < values.length; row++) {
    const value = values[row] as number;
    if (!Number.isFinite(value)) {
      leftOut++;
      continue;
    }
    const bin = Math.max(0, Math.min(bins - 1, Math.floor(((value / 2 - from / 2) / size) * bins) || 0));
    counts[bin] = (counts[bin] as number) + 1;
    if (selected !== undefined && mask?.[row] === 1) selected[bin] = (selected[bin] as number) + 1;
  }
  return { from, to, counts, selected, leftOut };
}

interface Range {
  readonly min: number;
  readonly max: number;
  readonly isWhole: boolean;
}

/** Of the finite values; undefined where there is none. */
export function rangeOf(values: Float64Array): Range | undefined {
  let [min, max, isWhole] = [Infinity, -Infinity, true];
  for (let row = 0; row < values.length; row++) {
    const value = values[row] as number;
    if (!Number.isFinite(value)) continue;
    if (value < min) min = value;
    if (value > max) max = value;
    isWhole &&= Number.isInteger(value);
  }
  return min > max ? undefined : { min, max, isWhole };
}

function binsOf({ min, max, isWhole }: Range): { from: number; to: number; bins: number } {
  if (isWhole && max - min < BINS) return { from: min - 0.5, to: max + 0.5, bins: max - min + 1 };
  if (min === max) return { from: min - Math.abs(min || 1) / 2, to: max + Math.abs(max || 1) / 2, bins: 1 };
  return { from: min, to: max, bins: BINS };
}
