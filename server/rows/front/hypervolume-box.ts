import { RowClass } from './row-classes.js';

/** Corners of the box in which a hypervolume is taken, so that it is a share of it: the best values, and the reference point. */
export interface HypervolumeBox {
  readonly ideal: readonly number[];
  readonly reference: readonly number[];
}

/** How far behind the worst value of the front the reference lies, as a part of the front's extent; the custom is a tenth. */
const REFERENCE_MARGIN = 0.1;

/**
 * From the best to a tenth behind the worst values on the front, of objectives of which smaller is better; undefined where that is no
 * box: of one objective, or where the front has no extent in one.
 */
export function boxOf(values: readonly ArrayLike<number>[], classes: ArrayLike<number>): HypervolumeBox | undefined {
  if (values.length < 2) return undefined;
  const ideal = values.map(() => Infinity);
  const reference = values.map(() => -Infinity);
  for (let row = 0; row < classes.length; row++) {
    if (classes[row] !== RowClass.FRONT) continue;
    values.forEach((objective, k) => {
      const value = objective[row] as number;
      if (!Number.isFinite(value)) return;
      ideal[k] = Math.min(ideal[k] as number, value);
      reference[k] = Math.max(reference[k] as number, value);
    });
  }
  const isBox = ideal.every((low, k) => Number.isFinite(low) && low < (reference[k] as number));
  if (!isBox) return undefined;
  return { ideal, reference: reference.map((high, k) => behind(ideal[k] as number, high)) };
}

/** The reference of an objective whose values on the front go from the best to the worst one. */
export function behind(best: number, worst: number): number {
  return worst + (worst - best) * REFERENCE_MARGIN;
}
