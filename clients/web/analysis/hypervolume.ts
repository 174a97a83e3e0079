import { Staircase } from './front.js';

/** Most objectives that a hypervolume is computed for; with more it takes too long in a browser. */
export const HYPERVOLUME_OBJECTIVES_MAX = 3;

/**
 * The volume that points dominate within the box from `ideal` to `reference`, as a share of that box. Points are given by objective,
 * smaller is better, none NaN; those beyond the reference in some objective add nothing. Two or three objectives.
 */
export function hypervolume(
  points: readonly ArrayLike<number>[],
  ideal: readonly number[],
  reference: readonly number[],
): number {
  const scaled = points.map((values, k) => {
    const [from, to] = [ideal[k] as number, reference[k] as number];
    return Float64Array.from(values, (value) => Math.max(0, (value - from) / (to - from)));
  });
  const count = scaled[0]?.length ?? 0;
  const inside = Array.from({ length: count }, (_, i) => i).filter((i) =>
    scaled.every((values) => (values[i] as number) < 1),
  );
  return scaled.length === 2 ? area(scaled, inside) : volume(scaled, inside);
}

function area([first, second]: readonly Float64Array[], points: readonly number[]): number {
  const staircase = new Staircase();
  for (const i of points) staircase.add((first as Float64Array)[i] as number, (second as Float64Array)[i] as number);
  return areaBelow(staircase);
}

/** Of the square from 0 to 1. */
function areaBelow({ first, second }: Staircase): number {
  let sum = 0;
  for (let i = 0; i < first.length; i++)
    sum += ((first[i + 1] ?? 1) - (first[i] as number)) * (1 - (second[i] as number));
  return sum;
}

/** Slices along the last objective: each is as thick as it is to the next point, and as large as what lies before dominates. */
function volume([first, second, third]: readonly Float64Array[], points: readonly number[]): number {
  const depth = third as Float64Array;
  const order = points.toSorted((a, b) => (depth[a] as number) - (depth[b] as number));
  const staircase = new Staircase();
  let sum = 0;
  let slice = 0;
  order.forEach((i, place) => {
    if (staircase.add((first as Float64Array)[i] as number, (second as Float64Array)[i] as number))
      slice = areaBelow(staircase);
    const next = order[place + 1];
    sum += slice * ((next === undefined ? 1 : (depth[next] as number)) - (depth[i] as number));
  });
  return sum;
}
