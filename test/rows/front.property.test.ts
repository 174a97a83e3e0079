import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hypervolume } from '../../server/rows/front/hypervolume.js';
import { paretoFront } from '../../server/rows/front/pareto-front.js';

/** Few values, so that points are often equal in some objectives or in all. */
const value = fc.oneof(fc.integer({ min: 0, max: 6 }), fc.constantFrom(-0, 0.5, -3, Infinity, -Infinity));
const pointsOf = (objectives: number, maxLength = 60) =>
  fc.array(fc.array(value, { minLength: objectives, maxLength: objectives }), { maxLength });

/** The rows that are on the front, by its definition. */
function byDefinition(points: readonly number[][]): number[] {
  const isNotWorse = (a: readonly number[], b: readonly number[]) => a.every((x, c) => x <= (b[c] as number));
  const isOn = (row: number) =>
    !points.some((other, i) => {
      const own = points[row] as number[];
      return i !== row && isNotWorse(other, own) && (i < row || !isNotWorse(own, other));
    });
  return points.flatMap((_, row) => (isOn(row) ? [row] : []));
}

function frontOf(points: readonly number[][], objectives: number, rowsMax?: number) {
  const front = paretoFront(objectives, rowsMax);
  points.forEach((point, row) => front.add(row, Float64Array.from(point)));
  return front;
}

describe.each([1, 2, 3, 4, 6])('a Pareto front of %d objectives', (objectives) => {
  test('has the rows that no other one dominates, of equal ones the first, with their points', () => {
    fc.assert(
      fc.property(pointsOf(objectives), (points) => {
        const front = frontOf(points, objectives);
        const { rows, points: told } = front.rows();
        expect([...rows].sort((a, b) => a - b)).toEqual(byDefinition(points));
        rows.forEach((row, i) => expect([...told.subarray(i * objectives, (i + 1) * objectives)]).toEqual(points[row]));
        expect(front.isExact).toBe(true);
      }),
    );
  });

  test('has no row with NaN', () => {
    const front = frontOf(
      [Array<number>(objectives).fill(1), [...Array<number>(objectives - 1).fill(0), NaN]],
      objectives,
    );
    expect([...front.rows().rows]).toEqual([0]);
  });
});

describe('a Pareto front of many rows', () => {
  const random = mulberry(7);
  const cloud = (objectives: number, count: number) =>
    Array.from({ length: count }, () => Array.from({ length: objectives }, random));

  test.each([2, 3])('of %d objectives is the one of its definition, however rows are sorted in', (objectives) => {
    const points = cloud(objectives, 30_000);
    const { rows } = frontOf(points, objectives).rows();
    // Of the definition, for those that could be on it: what the front dominates needs no proof by all.
    const candidates = [...rows].map((row) => points[row] as number[]);
    expect(byDefinition(candidates)).toHaveLength(rows.length);
    const isCovered = (point: readonly number[]) =>
      candidates.some((other) => other.every((x, c) => x <= (point[c] as number)));
    expect(points.every(isCovered)).toBe(true);
  });

  test('of three objectives is exact where two are opposed and none dominates another, and found in steps', () => {
    // In one sorted array of them each takes the longer the more there are: these would be half a minute.
    const opposed = Array.from({ length: 150_000 }, (_, row) => {
      const y = ((row * 48_271) % 150_001) / 150_001;
      return [random(), y, 1 - y];
    });
    const front = paretoFront(3);
    let steps = 0;
    const add = (point: readonly number[], row: number) => {
      if (front.isDue) for (const step of front.settling()) steps += step === undefined ? 1 : 0;
      front.add(row, Float64Array.from(point));
    };
    const startMs = performance.now();
    opposed.forEach(add);
    // Behind two of them, and one before all of them that are near it.
    add([...(opposed[7] as number[]).map((x) => x + 1e-9)], 150_000);
    add([0, 0.25, 0.25], 150_001);
    const { rows } = front.rows();
    const isBeaten = ([, y = 0, z = 0]: readonly number[]) => y >= 0.25 && z >= 0.25;
    const expected = opposed.flatMap((point, row) => (isBeaten(point) ? [] : [row]));
    expect([...rows].sort((a, b) => a - b)).toEqual([...expected, 150_001]);
    expect(performance.now() - startMs).toBeLessThan(10_000);
    expect(steps).toBeGreaterThan(200);
  });

  test('is thinned where it has more than there is room for, keeping the best of each objective, and says so', () => {
    const points = Array.from({ length: 50_000 }, (_, i) => [i, 50_000 - i]);
    const front = frontOf(points, 2, 2000);
    const { rows } = front.rows();
    expect(front.isExact).toBe(false);
    expect(rows.length).toBeLessThanOrEqual(2000);
    expect(rows.length).toBeGreaterThan(900);
    expect(rows).toContain(0);
    expect(rows).toContain(49_999);
  });

  test('of five objectives that all are on it: boxes stand for them, which no other box dominates', () => {
    // On a plane nobody dominates anybody.
    const points = cloud(5, 12_000).map((point) => {
      const sum = point.reduce((a, b) => a + b, 0);
      return point.map((x) => x / sum);
    });
    const front = frontOf(points, 5);
    const { rows } = front.rows();
    expect(front.isExact).toBe(false);
    expect(rows.length).toBeGreaterThan(50);
    expect(rows.length).toBeLessThan(12_000);
    expect(byDefinition([...rows].map((row) => points[row] as number[]))).toHaveLength(rows.length);
  });
});

describe.each([1, 2, 3])('the hypervolume of %d objectives', (objectives) => {
  const reference = new Float64Array(objectives).fill(5);

  test('is the number of cells that points dominate, however they come', () => {
    fc.assert(
      fc.property(pointsOf(objectives, 20), fc.nat(20), (points, cut) => {
        const finite = points.map((point) => point.map((x) => Math.max(0, Math.floor(x))));
        const volume = hypervolume(reference, new Float64Array(objectives));
        for (const part of [finite.slice(0, cut), finite.slice(cut)]) volume.add(Float64Array.from(part.flat()));
        expect(volume.value).toBeCloseTo(cellsBelow(finite, objectives), 9);
      }),
    );
  });

  test('does not count what is not better than the reference, or not finite', () => {
    const volume = hypervolume(reference, new Float64Array(objectives));
    for (const bad of [5, 7, Infinity, -Infinity, NaN])
      volume.add(Float64Array.from([bad, ...Array<number>(objectives - 1).fill(0)]));
    expect(volume.value).toBe(0);
  });
});

test('the hypervolume of five objectives is estimated to a few percent, and never falls', () => {
  const volume = hypervolume(new Float64Array(5).fill(1), new Float64Array(5));
  volume.add(Float64Array.from([0.5, 0.5, 0.5, 0.5, 0.5]));
  expect(volume.value).toBeCloseTo(1 / 32, 2);
  volume.add(Float64Array.from([0, 0.8, 0.8, 0.8, 0.8]));
  const both = volume.value;
  expect(both).toBeCloseTo(1 / 32 + 1 * 0.2 ** 4 - 0.5 * 0.2 ** 4, 2);
  volume.add(Float64Array.from([0.9, 0.9, 0.9, 0.9, 0.9]));
  expect(volume.value).toBe(both);
});

/** Cells of side 1 below 5 that some point dominates. */
function cellsBelow(points: readonly number[][], objectives: number): number {
  const corners = Array.from({ length: 5 ** objectives }, (_, i) =>
    Array.from({ length: objectives }, (_unused, c) => Math.floor(i / 5 ** c) % 5),
  );
  return corners.filter((corner) => points.some((point) => point.every((x, c) => x <= (corner[c] as number)))).length;
}

/** Random numbers that are the same each time. */
function mulberry(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
