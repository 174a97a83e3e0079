/** Bins of equal width. */
export interface Bins {
  /** Edges of the first and the last bin. */
  readonly from: number;
  readonly to: number;
  /** Each holds the same number of whole numbers, and its edges are at halves. */
  readonly isWhole: boolean;
}

/** How often values fall into bins. */
export interface Histogram extends Bins {
  readonly counts: Uint32Array;
  /** Of the rows that are selected; undefined while none is. */
  readonly selected: Uint32Array | undefined;
  /** Values that are missing, NaN or infinite. */
  readonly leftOut: number;
}

const BINS = 48;
/** Where there is no value. */
export const NO_BINS: Bins = { from: 0, to: 1, isWhole: false };

/** The histogram of a column. */
export function histogramOf(values: Float64Array, mask: Uint8Array | undefined): Histogram {
  const range = rangeOf(values);
  if (range === undefined)
    return { ...NO_BINS, counts: new Uint32Array(1), selected: mask && new Uint32Array(1), leftOut: values.length };
  const { count, ...bins } = binsOf(range, BINS);
  const counts = new Uint32Array(count);
  const selected = mask && new Uint32Array(count);
  let leftOut = 0;
  for (let row = 0; row < values.length; row++) {
    const value = values[row] as number;
    if (!Number.isFinite(value)) {
      leftOut++;
      continue;
    }
    const bin = binOf(value, bins, count);
    counts[bin] = (counts[bin] as number) + 1;
    if (selected !== undefined && mask?.[row] === 1) selected[bin] = (selected[bin] as number) + 1;
  }
  return { ...bins, counts, selected, leftOut };
}

/** In which of so many bins a finite value is. */
export function binOf(value: number, { from, to }: Bins, count: number): number {
  // By halves: the distance of the largest numbers is no number; and what is too near to be told apart is in the first bin.
  const share = (value / 2 - from / 2) / (to / 2 - from / 2);
  return Math.max(0, Math.min(count - 1, Math.floor(share * count) || 0));
}

/** The least and the greatest value that the bins are for: of whole numbers not the edges, which are none. */
export function endsOf({ from, to, isWhole }: Bins): { from: number; to: number } {
  return isWhole ? { from: Math.ceil(from), to: Math.floor(to) } : { from, to };
}

/** What values there are. */
export interface Range {
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

/** Above it whole numbers and a half are not told apart. */
const WHOLE_MAX = 2 ** 51;

/** At most so many bins over a range. Were those of whole numbers not whole, some would hold more of them than others, and stick out. */
export function binsOf({ min, max, isWhole }: Range, most: number): Bins & { readonly count: number } {
  if (isWhole && Math.max(-min, max) < WHOLE_MAX) {
    const width = wholeWidth(max - min + 1, most);
    const count = Math.ceil((max - min + 1) / width);
    return { from: min - 0.5, to: min - 0.5 + count * width, count, isWhole };
  }
  const isOne = min === max;
  const [from, to] = isOne ? [min - Math.abs(min) / 2, max + Math.abs(max) / 2] : [min, max];
  return { from, to, count: isOne ? 1 : most, isWhole: false };
}

/** How many of some whole numbers a bin holds: such that the last one is full, where that takes at most twice as many. */
function wholeWidth(numbers: number, most: number): number {
  const least = Math.ceil(numbers / most);
  for (let width = least; width <= 2 * least && width < 1000; width++) if (numbers % width === 0) return width;
  return least;
}
