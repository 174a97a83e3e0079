import { create } from '@bufbuild/protobuf';
import type { Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ProblemSchema, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Batch, Column } from '../../server/rows/batch.js';
import { encodeColumns } from '../../server/rows/columns.js';

/** A column of each type. */
export const MIXED: Problem = create(ProblemSchema, {
  name: 'mixed',
  variables: [
    { name: 'f', role: VariableRole.OBSERVABLE, valueType: ValueType.FLOAT64 },
    { name: 'i', role: VariableRole.OBSERVABLE, valueType: ValueType.INT64 },
    { name: 'b', role: VariableRole.OBSERVABLE, valueType: ValueType.BOOL },
    { name: 's', role: VariableRole.OBSERVABLE, valueType: ValueType.STRING },
  ],
});

/** A problem of so many float64 columns: c0, c1, … */
export function floats(columnCount: number): Problem {
  const variables = Array.from({ length: columnCount }, (_, i) => ({
    name: `c${i}`,
    role: VariableRole.OBSERVABLE,
    valueType: ValueType.FLOAT64,
  }));
  return create(ProblemSchema, { name: 'floats', variables });
}

/** Rows of `floats`: row r of column c holds r + c / 1000, which no other place holds. */
export function floatRun(columnCount: number, rowCount: number): Batch {
  const columns = Array.from({ length: columnCount }, (_, c): Column => {
    const values = Float64Array.from({ length: rowCount }, (_, r) => r + c / 1000);
    return { values: new Uint8Array(values.buffer), offsets: undefined, validity: undefined };
  });
  return { firstRow: 0, rowCount, columns };
}

/** Bits of doubles that a careless copy would change: -0, infinities, NaNs with a payload and a sign, a denormal. */
const ODD_BITS = [
  0x8000000000000000n,
  0x7ff0000000000000n,
  0xfff0000000000000n,
  0x7ff8000000000001n,
  0xfff8000000000abcn,
  0x7ff0000000000001n,
  0x0000000000000001n,
];
const WORDS = ['', 'ä', 'a longer piece of text', '漢字', '🙂🙂', 'x\u0000y', '\ufeffbom'];

/** Rows of MIXED, each different, with odd values and missing ones. */
export function mixedRun(rowCount: number): Batch {
  const at = <T>(items: readonly T[], i: number) => items[i % items.length] as T;
  const rows = Array.from({ length: rowCount }, (_, i) => i);
  const bits = BigUint64Array.from(rows, (i) => (i % 3 === 0 ? at(ODD_BITS, i / 3) : BigInt(i) * 0x9e3779b97f4a7c15n));
  const { columns } = encodeColumns(MIXED.variables, {
    f: rows.map((i) => (i % 5 === 4 ? null : 0)),
    i: rows.map((i) => (i % 7 === 6 ? null : BigInt.asIntN(64, BigInt(i) * 0xd1342543de82ef95n))),
    b: rows.map((i) => (i % 11 === 10 ? null : (i * 31) % 3 === 0)),
    s: rows.map((i) => (i % 13 === 12 ? null : `${at(WORDS, i)}${i % 4 === 0 ? '' : i}`)),
  });
  const [f, ...others] = columns as [Column, ...Column[]];
  const values = new Uint8Array(bits.buffer);
  // A double that passes through a number may lose its NaN bits: they are put in as bytes, beside the bitmap.
  for (const i of rows) if (i % 5 === 4) values.fill(0, i * 8, i * 8 + 8);
  return { firstRow: 0, rowCount, columns: [{ ...f, values }, ...others] };
}
