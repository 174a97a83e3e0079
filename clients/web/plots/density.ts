/** Lines between two axes as densities: what they cost does not depend on how many rows there are. */

/** Places on an axis that rows are counted by; a number of them is a byte. */
export const BINS = 100;
/** The place of a row that has no value. */
export const NO_BIN = 255;

/** Where each value from a row on lies on an axis, from 0 to BINS − 1. */
export function binsOf(values: Float64Array, min: number, max: number, into: Uint8Array, fromRow: number): void {
  const scale = max > min ? BINS / (max - min) : 0;
  for (let row = fromRow; row < values.length; row++) {
    const value = values[row] as number;
    into[row] = Number.isFinite(value) ? Math.min(BINS - 1, Math.max(0, Math.floor((value - min) * scale))) : NO_BIN;
  }
}

/** How many rows, from one on, go from each place on one axis to each on the next; of the rows of `mask` where there is one. */
export function countPairs(
  from: Uint8Array,
  to: Uint8Array,
  mask: Uint8Array | undefined,
  fromRow: number,
  counts: Uint32Array,
): void {
  counts.fill(0);
  for (let row = fromRow; row < from.length; row++) {
    if (mask !== undefined && mask[row] === 0) continue;
    const [a, b] = [from[row] as number, to[row] as number];
    if (a === NO_BIN || b === NO_BIN) continue;
    const at = a * BINS + b;
    counts[at] = (counts[at] as number) + 1;
  }
}

/** A picture of lines: how many pass through each of its pixels, column by column from the left. */
export interface Density {
  readonly columns: number;
  readonly height: number;
  readonly weights: Float32Array;
  /** By how much the weight of a pixel differs from that above it. */
  readonly steps: Float32Array;
}

/** Adds the lines of counted pairs to a picture. An axis that is turned over has its first place at the top. */
export function drawPairs(
  counts: Uint32Array,
  isTurned: { readonly from: boolean; readonly to: boolean },
  { columns, height, weights, steps }: Density,
): void {
  const place = (bin: number, turned: boolean) => ((turned ? bin : BINS - 1 - bin) + 0.5) * ((height - 1) / BINS);
  // A line covers in each column the pixels from where it comes to where it goes: its weight begins at the one, and ends behind the other.
  const stride = height + 1;
  for (let a = 0; a < BINS; a++)
    for (let b = 0; b < BINS; b++) {
      const count = counts[a * BINS + b] as number;
      if (count === 0) continue;
      const start = place(a, isTurned.from);
      const slope = (place(b, isTurned.to) - start) / columns;
      for (let column = 0; column < columns; column++) {
        const left = (start + slope * column) | 0;
        const right = (start + slope * (column + 1)) | 0;
        const top = column * stride + (left < right ? left : right);
        const bottom = column * stride + (left < right ? right : left) + 1;
        steps[top] = (steps[top] as number) + count;
        steps[bottom] = (steps[bottom] as number) - count;
      }
    }
  for (let column = 0; column < columns; column++) {
    let sum = 0;
    for (let at = column * stride; at < (column + 1) * stride; at++) weights[at] = sum += steps[at] as number;
  }
}

/** An empty picture. */
export function density(columns: number, height: number): Density {
  const size = columns * (height + 1);
  return { columns, height, weights: new Float32Array(size), steps: new Float32Array(size) };
}

/** A single row is seen; the rest is by the logarithm, as crowds differ by orders of magnitude. */
const ALPHA_MIN = 0.1;

/** Colours a picture into an image from a column on; `most` is the weight that has the full colour. */
export function colourDensity(
  { columns, height, weights }: Density,
  colour: number,
  alphaMax: number,
  most: number,
  image: Uint32Array,
  width: number,
  fromColumn: number,
): void {
  const scale = (alphaMax - ALPHA_MIN) / Math.log1p(Math.max(most, 2));
  const rgb = colour & 0xffffff;
  for (let column = 0; column < columns; column++)
    for (let y = 0; y < height; y++) {
      const weight = weights[column * (height + 1) + y] as number;
      // Sums of what was added and taken away again may leave a trace.
      if (weight < 0.5) continue;
      const alpha = Math.min(alphaMax, ALPHA_MIN + Math.log1p(weight) * scale);
      image[y * width + fromColumn + column] = (((alpha * 255) << 24) | rgb) >>> 0;
    }
}

/** The largest weight. */
export function mostOf({ weights }: Density): number {
  let most = 0;
  for (let i = 0; i < weights.length; i++) if ((weights[i] as number) > most) most = weights[i] as number;
  return most;
}
