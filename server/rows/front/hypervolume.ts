import { Staircase } from './staircase.js';

/** Points that the volume of four objectives or more is estimated by. */
const SAMPLES = 10_000;

/**
 * The hypervolume of points: how much of the space below a reference point they dominate (Zitzler and Thiele, 1998). Smaller is better
 * in every objective; a point that is not better than the reference in each, or not finite, adds nothing. Exact for one to three objectives; for more
 * it is estimated by 10,000 evenly spread points between `ideal` and the reference, always the same, to about 1 %.
 */
export interface Hypervolume {
  /** Takes points, a number an objective each, one after the other. */
  add(points: Float64Array): void;
  /** The volume that all points so far dominate. */
  readonly value: number;
}

/** An empty hypervolume. `ideal`: from where on volume counts, for four objectives and more; a point below it counts as if on it. */
export function hypervolume(reference: Float64Array, ideal: Float64Array): Hypervolume {
  return reference.length <= 3 ? new SweptVolume(reference) : new EstimatedVolume(reference, ideal);
}

/** Up to three objectives, filled up by ones whose reference is 1: cut across the last one, each slice is the area of a staircase. */
class SweptVolume implements Hypervolume {
  private points: [x: number, y: number, z: number][] = [];
  private known: number | undefined = 0;
  private readonly reference: readonly [number, number, number];

  constructor(reference: Float64Array) {
    const [x = 0, y = 1, z = 1] = reference;
    this.reference = [x, y, z];
    this.width = reference.length;
  }

  private readonly width: number;

  add(points: Float64Array): void {
    const [referenceX, referenceY, referenceZ] = this.reference;
    for (let at = 0; at < points.length; at += this.width) {
      const x = points[at] as number;
      const y = this.width > 1 ? (points[at + 1] as number) : 0;
      const z = this.width > 2 ? (points[at + 2] as number) : 0;
      if (!(x < referenceX && y < referenceY && z < referenceZ) || x + y + z === -Infinity) continue;
      this.points.push([x, y, z]);
      this.known = undefined;
    }
  }

  get value(): number {
    this.known ??= this.sweep();
    return this.known;
  }

  private sweep(): number {
    const [referenceX, referenceY, referenceZ] = this.reference;
    const steps = new Staircase(referenceX, referenceY);
    this.points.sort((a, b) => a[2] - b[2]);
    let volume = 0;
    let reached = 0;
    const needed: typeof this.points = [];
    for (const point of this.points) {
      // Nothing was below the first.
      if (steps.area > 0) volume += steps.area * (point[2] - reached);
      reached = point[2];
      if (steps.add(point[0], point[1])) needed.push(point);
    }
    this.points = needed;
    return volume + steps.area * (referenceZ - reached);
  }
}

class EstimatedVolume implements Hypervolume {
  private readonly samples: Float64Array;
  private readonly isDominated = new Uint8Array(SAMPLES);
  private dominated = 0;
  private readonly space: number;

  constructor(
    private readonly reference: Float64Array,
    ideal: Float64Array,
  ) {
    const { length } = reference;
    const spans = reference.map((high, c) => Math.max(high - (ideal[c] as number), 0));
    this.space = spans.reduce((product, span) => product * span, 1);
    const steps = spread(length);
    this.samples = new Float64Array(SAMPLES * length);
    for (let i = 0; i < SAMPLES; i++)
      for (let c = 0; c < length; c++)
        this.samples[i * length + c] =
          (ideal[c] as number) + (spans[c] as number) * ((0.5 + (i + 1) * (steps[c] as number)) % 1);
  }

  add(points: Float64Array): void {
    const { length } = this.reference;
    for (let at = 0; at < points.length; at += length) {
      const point = points.subarray(at, at + length);
      if (!point.every((value, c) => value < (this.reference[c] as number) && value > -Infinity)) continue;
      for (let i = 0; i < SAMPLES; i++) if (this.isDominated[i] === 0 && this.dominates(point, i)) this.mark(i);
    }
  }

  get value(): number {
    return (this.space * this.dominated) / SAMPLES;
  }

  private dominates(point: Float64Array, sample: number): boolean {
    const from = sample * point.length;
    for (let c = 0; c < point.length; c++) if ((point[c] as number) > (this.samples[from + c] as number)) return false;
    return true;
  }

  private mark(sample: number): void {
    this.isDominated[sample] = 1;
    this.dominated++;
  }
}

/** How far each sample is from the one before, by dimension: the R-sequence of Roberts, The unreasonable effectiveness of quasirandom sequences (2018). */
function spread(dimensions: number): number[] {
  // The root of x^(d + 1) = x + 1, the golden ratio in one dimension.
  let root = 2;
  for (let i = 0; i < 40; i++) root = (1 + root) ** (1 / (dimensions + 1));
  return Array.from({ length: dimensions }, (_, c) => (1 / root) ** (c + 1) % 1);
}
