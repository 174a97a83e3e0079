import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { classCounts, RowClass, RowClasses } from '../../server/rows/front/row-classes.js';
import { convergenceOf, quantile } from '../../clients/web/analysis/convergence.js';
import { correlationOf, ranksOf } from '../../clients/web/analysis/correlation.js';
import { histogramOf } from '../../clients/web/analysis/distribution.js';
import { goalsOf } from '../../server/rows/front/goals.js';
import { thinned } from '../../clients/web/run/thinning.js';
import { Direction, ValueType, VariableRole, VariableSchema } from '../../proto/gen/optistore/v1/problem_pb.js';

const objective = (name: string, direction: Direction) =>
  create(VariableSchema, { name, role: VariableRole.OBJECTIVE, valueType: ValueType.FLOAT64, direction });
const VARIABLES = [
  objective('f', Direction.MINIMIZE),
  objective('h', Direction.MAXIMIZE),
  create(VariableSchema, { name: 'g', role: VariableRole.INEQUALITY_CONSTRAINT, valueType: ValueType.FLOAT64 }),
];
const value = fc.oneof({ weight: 9, arbitrary: fc.integer({ min: -4, max: 4 }) }, fc.constant(NaN));
const rows = fc.array(fc.tuple(value, value, value), { maxLength: 60 });
const columnsOf = (table: readonly (readonly number[])[]) => (index: number) =>
  Float64Array.from(table, (row) => row[index] ?? NaN);

function bruteForce(table: readonly (readonly [number, number, number])[]): number[] {
  const isRanked = ([f, h, g]: readonly [number, number, number]) => g <= 0 && !Number.isNaN(f) && !Number.isNaN(h);
  return table.map((row, i) => {
    if (!(row[2] <= 0)) return RowClass.INFEASIBLE;
    if (!isRanked(row)) return RowClass.FEASIBLE;
    const isBeaten = table.some(
      (other, k) =>
        isRanked(other) &&
        other[0] <= row[0] &&
        other[1] >= row[1] &&
        (other[0] < row[0] || other[1] > row[1] || k < i),
    );
    return isBeaten ? RowClass.DOMINATED : RowClass.FRONT;
  });
}

describe('the analysis of the page', () => {
  test('finds the class of each row as brute force does, in one go and as rows come', () => {
    fc.assert(
      fc.property(rows, fc.nat(60), (table, cut) => {
        const column = columnsOf(table);
        const growing = new RowClasses(goalsOf(VARIABLES));
        growing.upTo(Math.min(cut, table.length), column);
        const expected = bruteForce(table);
        expect([...growing.upTo(table.length, column)]).toEqual(expected);
        expect([...new RowClasses(goalsOf(VARIABLES)).upTo(table.length, column)]).toEqual(expected);
      }),
    );
  });

  test('keeps the front when a run that grows is thinned, and every row that came since', () => {
    fc.assert(
      fc.property(rows, fc.nat(10), (table, since) => {
        const column = columnsOf(table);
        const goals = goalsOf(VARIABLES);
        const classes = new RowClasses(goals).upTo(table.length, column);
        const stay = thinned(goals, column, classes, table.length + since, 2 * table.length);
        const front = [...classes.keys()].filter((row) => classes[row] === RowClass.FRONT);
        expect(front.every((row) => stay.includes(row))).toBe(true);
        for (let i = 0; i < since; i++) expect(stay).toContain(table.length + i);
        expect(classCounts(classes).reduce((sum, count) => sum + count, 0)).toBe(table.length);
      }),
    );
  });

  test('keeps the best of each objective where the front is larger than what stays', () => {
    // All on the front: the best of one objective is the last row, of the other the first.
    const table = Array.from({ length: 1000 }, (_, row) => [1000 - row, 1000 - row, 0]);
    const goals = goalsOf(VARIABLES);
    const classes = new RowClasses(goals).upTo(table.length, columnsOf(table));
    const stay = thinned(goals, columnsOf(table), classes, table.length, 100);
    expect(stay.length).toBeLessThanOrEqual(100);
    expect([stay[0], stay.at(-1)]).toEqual([0, 999]);
  });

  test('counts each finite value of a column in one bin', () => {
    fc.assert(
      fc.property(fc.array(fc.double()), (list) => {
        const { counts, leftOut } = histogramOf(Float64Array.from(list), undefined);
        expect(counts.reduce((sum, count) => sum + count, 0) + leftOut).toBe(list.length);
        expect(leftOut).toBe(list.filter((one) => !Number.isFinite(one)).length);
      }),
    );
  });

  test('puts as many whole numbers into each bin as into the next, with edges at halves', () => {
    const generations = Float64Array.from({ length: 10_000 }, (_, i) => 1 + (i % 100));
    const { counts, from, to, isWhole } = histogramOf(generations, undefined);
    expect([...new Set(counts)]).toHaveLength(1);
    expect([from, to, isWhole]).toEqual([0.5, 100.5, true]);
    for (const [least, numbers] of [
      [0, 97],
      [-30, 61],
      [7, 48],
      [1, 100_003],
    ] as const) {
      const each = Float64Array.from({ length: numbers }, (_, i) => least + i);
      const histogram = histogramOf(each, undefined);
      // The last bin may not be full.
      expect([...new Set(histogram.counts.slice(0, -1))], String(numbers)).toHaveLength(1);
      expect(histogram.counts.length).toBeLessThanOrEqual(48);
      expect(histogram.counts.reduce((sum, count) => sum + count, 0)).toBe(numbers);
    }
    expect(histogramOf(Float64Array.of(2 ** 60, 2 ** 61), undefined)).toMatchObject({ isWhole: false, from: 2 ** 60 });
  });

  test('gives equal values the middle of their ranks, and 1 to what grows together', () => {
    expect([...ranksOf(Float64Array.of(3, 1, 3, 2))]).toEqual([3.5, 1, 3.5, 2]);
    const { pearson, spearman } = correlationOf([Float64Array.of(1, 2, 3, NaN), Float64Array.of(1, 8, 27, 4)]);
    expect(spearman[1]).toBeCloseTo(1, 12);
    expect(pearson[1]).toBeCloseTo(26 / Math.sqrt(2 * 362), 12);
    expect(correlationOf([Float64Array.of(0.1, 0.1, 0.1), Float64Array.of(1, 2, 3)]).pearson[1]).toBeNaN();
  });

  test('tells the best so far, and quartiles of a generation, or of at least the last 40 evaluations', () => {
    // 400 rows in 200 steps of two; the objective falls from 399 to 0, and every fourth row is infeasible.
    const table = Array.from({ length: 400 }, (_, i) => [399 - i, 0, i % 4 === 3 ? 1 : 0, Math.floor(i / 100)]);
    const question = {
      ...{ goals: goalsOf(VARIABLES), rowCount: 400, rowNumbers: undefined },
      classes: new RowClasses(goalsOf(VARIABLES)).upTo(400, columnsOf(table)),
    };
    const byEvaluation = convergenceOf({ ...question, generation: undefined }, columnsOf(table));
    const [f] = byEvaluation.objectives;
    expect(byEvaluation.at[100]).toBe(202);
    expect(f?.best[100]).toBe(399 - 201);
    const last = table.slice(162, 202).filter(([, , g]) => g === 0);
    expect(f?.median[100]).toBe(quantile(Float64Array.from(last, ([value = NaN]) => value).sort(), 0.5));
    const byGeneration = convergenceOf({ ...question, generation: 3 }, columnsOf(table));
    expect([...byGeneration.at]).toEqual([0, 1, 2, 3]);
    const second = table.slice(100, 200).filter(([, , g]) => g === 0);
    expect(byGeneration.objectives[0]?.lower[1]).toBe(
      quantile(Float64Array.from(second, ([value = NaN]) => value).sort(), 0.25),
    );
  });
});
