import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { Direction, ValueType, VariableRole, VariableSchema } from '../../proto/gen/optistore/v1/problem_pb.js';
import { schemaOf, type Batch } from '../../server/rows/batch.js';
import { encodeColumns } from '../../server/rows/columns.js';
import { sliceBatch } from '../../server/rows/slice.js';
import { RunSummary } from '../../server/rows/summary.js';
import { anyCuts } from './arbitrary-batch.js';

const { OBJECTIVE, INEQUALITY_CONSTRAINT, EQUALITY_CONSTRAINT } = VariableRole;
const { FLOAT64, INT64, BOOL } = ValueType;
const variables = [
  { name: 'f', role: OBJECTIVE, valueType: FLOAT64, direction: Direction.MINIMIZE },
  { name: 'n', role: OBJECTIVE, valueType: INT64, direction: Direction.MAXIMIZE },
  { name: 'g', role: INEQUALITY_CONSTRAINT, valueType: FLOAT64 },
  { name: 'between', role: INEQUALITY_CONSTRAINT, valueType: FLOAT64, lowerBound: -1, upperBound: 1 },
  { name: 'above', role: INEQUALITY_CONSTRAINT, valueType: INT64, lowerBound: -2 },
  { name: 'h', role: EQUALITY_CONSTRAINT, valueType: FLOAT64, target: 0.1, tolerance: 0.5 },
  { name: 'ok', role: EQUALITY_CONSTRAINT, valueType: BOOL, target: 1 },
].map((variable) => create(VariableSchema, variable));

type Row = [
  f: number | null,
  n: bigint | null,
  g: number | null,
  between: number | null,
  above: bigint | null,
  h: number | null,
  ok: boolean | null,
];

function isFeasible([, , g, between, above, h, ok]: Row): boolean {
  if (g === null || between === null || above === null || h === null || ok === null) return false;
  return g <= 0 && between >= -1 && between <= 1 && above >= -2n && Math.abs(h - 0.1) <= 0.5 && ok;
}

function batchOf(rows: readonly Row[], of: readonly Variable[] = variables): Batch {
  const columns = Object.fromEntries(of.map(({ name }, i) => [name, rows.map((row) => row[i] ?? null)]));
  return { firstRow: 0, ...encodeColumns(of, columns) };
}

function bestOf(summary: RunSummary): (number | undefined)[] {
  return summary.summaries().map(({ best }) => best);
}

const some = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null, freq: 12 });
const near = fc.oneof(
  fc.constantFrom(0, -0, 1, -1, 0.6, -0.4, NaN, Infinity, -Infinity),
  fc.double({ min: -2, max: 2 }),
);
const anyRow: fc.Arbitrary<Row> = fc.tuple(
  some(near),
  some(fc.bigInt({ min: -5n, max: 5n })),
  some(fc.oneof(fc.constant(-1), near)),
  some(fc.oneof(fc.constant(0), near)),
  some(fc.bigInt({ min: -3n, max: 5n })),
  some(fc.oneof(fc.constant(0.1), near)),
  some(fc.boolean()),
);
const anyRows = fc.array(anyRow, { minLength: 1, maxLength: 60 });

describe('the best value of an objective', () => {
  test('is that of its feasible rows, however they were cut and wherever the summary goes on', () => {
    const anyRowsAndCuts = anyRows.chain((rows) => anyCuts(rows.length).map((cuts) => ({ rows, cuts })));
    const property = fc.property(anyRowsAndCuts, ({ rows, cuts }) => {
      const feasible = rows.filter(isFeasible);
      const f = feasible.flatMap(([value]) => (value === null || Number.isNaN(value) ? [] : [value]));
      const n = feasible.flatMap(([, value]) => (value === null ? [] : [Number(value)]));
      const expected = [f.length === 0 ? undefined : Math.min(...f), n.length === 0 ? undefined : Math.max(...n)];
      const whole = batchOf(rows);
      let summary = new RunSummary(variables);
      for (let i = 1; i < cuts.length; i++) {
        const from = cuts[i - 1] ?? 0;
        summary.add(sliceBatch(schemaOf(variables), whole, from, (cuts[i] ?? 0) - from));
        summary = new RunSummary(variables, summary.summaries());
      }
      const [bestF, bestN, ...others] = bestOf(summary);
      expect(bestF === expected[0] && bestN === expected[1]).toBe(true);
      expect(others.every((best) => best === undefined)).toBe(true);
    });
    fc.assert(property, { numRuns: 500 });
  });

  test('without constraints is that of all rows', () => {
    const summary = new RunSummary(variables.slice(0, 1));
    summary.add(batchOf([[3], [NaN], [null], [-2], [5]] as never, variables.slice(0, 1)));
    expect(bestOf(summary)).toEqual([-2]);
  });
});
