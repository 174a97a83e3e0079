import { hypervolume, type Hypervolume } from './hypervolume.js';
import { RowClass } from './row-classes.js';

/** Corners of the box in which a hypervolume is taken, so that it is a share of it: the best values, and the reference point. */
export interface HypervolumeBox {
  readonly ideal: readonly number[];
  readonly reference: readonly number[];
}

/** How far behind the worst value of the front the reference lies, as a part of the front's extent; the custom is a tenth. */
const REFERENCE_MARGIN = 0.1;

/**
 * From the best to a tenth behind the worst values on the front, of objectives of which smaller is better; without classes all rows
 * are on it. Undefined where that is no box: of one objective, or where the front has no extent in one.
 */
export function boxOf(values: readonly ArrayLike<number>[], classes?: ArrayLike<number>): HypervolumeBox | undefined {
  const [first] = values;
  if (first === undefined || values.length < 2) return undefined;
  const ideal = values.map(() => Infinity);
  const reference = values.map(() => -Infinity);
  for (let row = 0; row < (classes ?? first).length; row++) {
    if (classes !== undefined && classes[row] !== RowClass.FRONT) continue;
    values.forEach((objective, k) => {
      const value = objective[row] as number;
      if (!Number.isFinite(value)) return;
      ideal[k] = Math.min(ideal[k] as number, value);
      reference[k] = Math.max(reference[k] as number, value);
    });
  }
  const isBox = ideal.every((low, k) => Number.isFinite(low) && low < (reference[k] as number));
  if (!isBox) return undefined;
  const behind = (high: number, k: number) => high + (high - (ideal[k] as number)) * REFERENCE_MARGIN;
  return { ideal, reference: reference.map(behind) };
}

/** The same box with other signs of the objectives: as they are for smaller being better, and the other way. */
export function signedBox({ ideal, reference }: HypervolumeBox, signs: readonly number[]): HypervolumeBox {
  const sign = (corner: readonly number[]) => corner.map((value, k) => value * (signs[k] ?? 1));
  return { ideal: sign(ideal), reference: sign(reference) };
}

/** The hypervolume of points as a share of a box, whose objectives are such that smaller is better. */
export function shareOf({ ideal, reference }: HypervolumeBox): Hypervolume {
  const size = ideal.length;
  const volume = hypervolume(new Float64Array(size).fill(1), new Float64Array(size));
  const inBox = (value: number, at: number) => {
    const from = ideal[at % size] as number;
    return (value - from) / ((reference[at % size] as number) - from);
  };
  return {
    add: (points) => volume.add(points.map(inBox)),
    get value() {
      return volume.value;
    },
  };
}
