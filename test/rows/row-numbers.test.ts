import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RowNumbers } from '../../proto/gen/optistore/v1/rows_pb.js';
import { RowNumbersSchema } from '../../proto/gen/optistore/v1/rows_pb.js';
import { rowNumbersOf } from '../../server/rows/row-numbers/given-rows.js';
import { readRowNumbers } from '../../server/rows/row-numbers/read-form.js';
import { countRows, rowAtPosition, RunsAtPositions, type Runs } from '../../server/rows/row-numbers/runs.js';
import { difference, intersection, union } from '../../server/rows/row-numbers/set-operations.js';
import { rowNumbersBytes, writeRowNumbers } from '../../server/rows/row-numbers/write-form.js';

const ROW_COUNT = 400;

/** Single rows and long runs, as sets have them. */
const anyRows: fc.Arbitrary<number[]> = fc
  .array(fc.tuple(fc.nat({ max: ROW_COUNT - 1 }), fc.oneof(fc.constant(1), fc.nat({ max: 90 }))), { maxLength: 30 })
  .map((runs) => {
    const rows = new Set<number>();
    for (const [first, length] of runs) for (let i = first; i < Math.min(first + length, ROW_COUNT); i++) rows.add(i);
    return [...rows].sort((a, b) => a - b);
  });

type Form = NonNullable<RowNumbers['form']['case']>;
const FORMS: readonly Form[] = ['list', 'deltas', 'bitmap', 'ranges'];

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 0x80, ...varint(Math.floor(value / 128))];
}

/** A naive encoder of each form, from the comment in the contract. */
function encode(form: Form, rows: readonly number[]): RowNumbers {
  const gaps = rows.map((row, i) => row - (i === 0 ? 0 : (rows[i - 1] as number) + 1));
  const bytes: Record<Form, () => Uint8Array> = {
    list: () => new Uint8Array(BigUint64Array.from(rows, BigInt).buffer),
    deltas: () => Uint8Array.from(gaps.flatMap(varint)),
    bitmap: () => {
      const bits = new Uint8Array(Math.ceil(ROW_COUNT / 8));
      for (const row of rows) bits[row >> 3] = (bits[row >> 3] ?? 0) | (1 << (row & 7));
      return bits;
    },
    ranges: () => Uint8Array.from(rows.flatMap((_, i) => [...varint(gaps[i] ?? 0), 0])),
  };
  return create(RowNumbersSchema, { form: { case: form, value: bytes[form]() } });
}

function rowsOf(runs: Runs): number[] {
  const rows: number[] = [];
  let before = -1;
  while (runs.advance()) {
    expect(runs.first).toBeGreaterThan(before);
    for (let row = runs.first; row < runs.end; row++) rows.push(row);
    before = runs.end;
  }
  return rows;
}

const source = (rows: readonly number[]) => () => readRowNumbers(encode('list', rows), ROW_COUNT);

describe('row numbers', () => {
  test.each(FORMS)('as %s are read as they were written by the letter of the contract', (form) => {
    fc.assert(
      fc.property(anyRows, (rows) => {
        expect(rowsOf(readRowNumbers(encode(form, rows), ROW_COUNT))).toEqual(rows);
      }),
    );
  });

  test('are kept in a form that is none larger than the others, and read back the same', () => {
    fc.assert(
      fc.property(anyRows, (rows) => {
        const stored = writeRowNumbers(source(rows));
        expect(stored.rowCount).toBe(rows.length);
        expect(stored.rows.form.case).not.toBe('list');
        expect(rowsOf(readRowNumbers(stored.rows, ROW_COUNT))).toEqual(rows);
        for (const form of FORMS)
          expect(rowNumbersBytes(stored.rows)).toBeLessThanOrEqual(rowNumbersBytes(encode(form, rows)));
      }),
    );
  });

  test('are joined as sets are, however many', () => {
    fc.assert(
      fc.property(fc.array(anyRows, { minLength: 1, maxLength: 6 }), (many) => {
        const [first = [], ...others] = many;
        const all = many.map(source);
        const inAny = new Set(many.flat());
        const sorted = (rows: Iterable<number>) => [...rows].sort((a, b) => a - b);
        expect(rowsOf(union(all)())).toEqual(sorted(inAny));
        expect(rowsOf(intersection(all)())).toEqual(first.filter((row) => many.every((rows) => rows.includes(row))));
        expect(rowsOf(difference([source(first), ...others.map(source)])())).toEqual(
          first.filter((row) => !others.some((rows) => rows.includes(row))),
        );
      }),
    );
  });

  test('are found by their position', () => {
    fc.assert(
      fc.property(anyRows, fc.nat({ max: 420 }), fc.nat({ max: 420 }), (rows, from, count) => {
        expect(rowsOf(new RunsAtPositions(source(rows)(), from, count))).toEqual(rows.slice(from, from + count));
        expect(rowAtPosition(source(rows)(), from)).toBe(rows[from]);
        expect(countRows(source(rows)())).toBe(rows.length);
      }),
    );
  });

  test('are given as numbers and runs', () => {
    const rows = rowNumbersOf([0, 1, [2, 5], 9, [20, 22]]);
    expect(rowsOf(readRowNumbers(rows, 22))).toEqual([0, 1, 2, 3, 4, 9, 20, 21]);
    expect(rowsOf(readRowNumbers(rowNumbersOf([]), 0))).toEqual([]);
    for (const bad of [[3, 3], [3, 2], [[5, 5]], [-1], [0.5], [NaN]] as number[][])
      expect(() => rowNumbersOf(bad)).toThrow(RangeError);
  });

  const u64 = (...rows: bigint[]) => new Uint8Array(BigUint64Array.from(rows).buffer);
  test.each<[string, RowNumbers['form'], RegExp]>([
    ['out of order', { case: 'list', value: u64(5n, 3n) }, /row 3 comes behind row 5/],
    ['twice', { case: 'list', value: u64(5n, 5n) }, /row 5 is there twice/],
    ['twice in a run', { case: 'list', value: u64(4n, 5n, 5n) }, /row 5 is there twice/],
    ['beyond the rows', { case: 'list', value: u64(5n, 10n) }, /row 10 is beyond/],
    ['far beyond the rows', { case: 'list', value: u64(2n ** 64n - 1n) }, /beyond/],
    ['beyond, in a run', { case: 'list', value: u64(9n, 10n) }, /row 10 is beyond/],
    ['cut short', { case: 'list', value: u64(5n).subarray(0, 7) }, /cut short/],
    ['beyond, by deltas', { case: 'deltas', value: Uint8Array.of(9, 0) }, /row 10 is beyond/],
    ['in deltas cut short', { case: 'deltas', value: Uint8Array.of(1, 0x80) }, /cut short/],
    ['in a varint too long', { case: 'deltas', value: new Uint8Array(12).fill(0x80) }, /over 8 bytes/],
    ['beyond, by a bit', { case: 'bitmap', value: Uint8Array.of(0, 4) }, /row 10 is beyond/],
    ['beyond, by a range', { case: 'ranges', value: Uint8Array.of(9, 1) }, /row 10 is beyond/],
    ['in ranges cut short', { case: 'ranges', value: Uint8Array.of(9) }, /cut short/],
    ['beyond 2^53', { case: 'ranges', value: Uint8Array.of(0, ...new Array<number>(7).fill(0xff), 0x7f) }, /beyond/],
  ])('%s are refused', (_, form, message) => {
    const read = () => countRows(readRowNumbers(create(RowNumbersSchema, { form }), 10));
    expect(read).toThrow(message);
    expect(read).toThrow(expect.objectContaining({ reason: 'RESULT_SET_INVALID' }));
  });

  test('of any bytes are read, or refused with their reason', () => {
    fc.assert(
      fc.property(fc.constantFrom(...FORMS), fc.uint8Array({ maxLength: 40 }), (form, value) => {
        const rows = create(RowNumbersSchema, { form: { case: form, value } });
        try {
          for (const row of rowsOf(readRowNumbers(rows, ROW_COUNT))) expect(row).toBeLessThan(ROW_COUNT);
        } catch (error) {
          expect(error).toMatchObject({ reason: 'RESULT_SET_INVALID' });
        }
      }),
      { numRuns: 500 },
    );
  });

  test('of ten million rows stay small: a run, a front, every other row, and a random half', () => {
    const rowCount = 10_000_000;
    const half = new Uint8Array(rowCount / 8);
    let state = 1;
    for (let i = 0; i < half.length; i++) half[i] = (state = (state * 1103515245 + 12345) & 0x7fffffff) >>> 16;
    const everyOther = new Uint8Array(rowCount / 8).fill(0x55);
    const bytesOf = (rows: RowNumbers) => rowNumbersBytes(writeRowNumbers(() => readRowNumbers(rows, rowCount)).rows);
    const bitmap = (value: Uint8Array) => create(RowNumbersSchema, { form: { case: 'bitmap', value } });
    expect(bytesOf(rowNumbersOf([[0, rowCount]]))).toBeLessThan(8);
    expect(bytesOf(rowNumbersOf(Array.from({ length: 5000 }, (_, i) => i * 2000)))).toBeLessThan(5000 * 2 + 8);
    expect(bytesOf(bitmap(everyOther))).toBeLessThanOrEqual(rowCount / 8);
    expect(bytesOf(bitmap(half))).toBeLessThanOrEqual(rowCount / 8);
  });
});
