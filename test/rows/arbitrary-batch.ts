import fc from 'fast-check';
import { create } from '@bufbuild/protobuf';
import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ValueType, VariableRole, VariableSchema } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Batch, Column } from '../../server/rows/batch.js';
import { bitmapBytes } from '../../server/rows/batch.js';

const TYPES = [ValueType.FLOAT64, ValueType.INT64, ValueType.BOOL, ValueType.STRING] as const;

/** Variables of any types. */
export const anyVariables: fc.Arbitrary<Variable[]> = fc
  .array(fc.constantFrom(...TYPES), { minLength: 1, maxLength: 6 })
  .map((types) =>
    types.map((valueType, i) => create(VariableSchema, { name: `v${i}`, role: VariableRole.OBSERVABLE, valueType })),
  );

/** A run of 1 to 60 rows of these variables, as one batch from row 0. */
export function anyRun(variables: readonly Variable[]): fc.Arbitrary<Batch> {
  return fc.integer({ min: 1, max: 60 }).chain((rowCount) =>
    fc.tuple(...variables.map((variable) => anyColumn(variable.valueType, rowCount))).map((columns) => ({
      firstRow: 0,
      rowCount,
      columns,
    })),
  );
}

/** A problem's variables and a run that fits them. */
export const anyVariablesAndRun = anyVariables.chain((variables) =>
  anyRun(variables).map((run) => ({ variables, run })),
);

/** The same run cut anywhere. */
export function anyCuts(rowCount: number): fc.Arbitrary<number[]> {
  return fc
    .uniqueArray(fc.integer({ min: 1, max: Math.max(rowCount - 1, 1) }), { maxLength: 12 })
    .map((cuts) => [0, ...cuts.filter((cut) => cut < rowCount).sort((a, b) => a - b), rowCount]);
}

function anyColumn(type: ValueType, rowCount: number): fc.Arbitrary<Column> {
  const present = fc.option(fc.array(fc.boolean(), { minLength: rowCount, maxLength: rowCount }), { nil: undefined });
  if (type === ValueType.STRING) {
    const strings = fc.array(fc.string({ unit: 'grapheme', maxLength: 5 }), {
      minLength: rowCount,
      maxLength: rowCount,
    });
    return fc.tuple(strings, present).map(([texts, there]) => stringColumn(texts, there));
  }
  const width = type === ValueType.BOOL ? 1 : 8;
  const max = type === ValueType.BOOL ? 1 : 255;
  const bytes = fc.array(fc.integer({ min: 0, max }), { minLength: rowCount * width, maxLength: rowCount * width });
  return fc.tuple(bytes, present).map(([raw, there]) => {
    const values = Uint8Array.from(raw, (byte, i) => (there?.[Math.floor(i / width)] === false ? 0 : byte));
    return { values, offsets: undefined, validity: bitmap(there) };
  });
}

function stringColumn(texts: readonly string[], there: readonly boolean[] | undefined): Column {
  const encoded = texts.map((text, i) => (there?.[i] === false ? Buffer.alloc(0) : Buffer.from(text)));
  const offsets = new Uint32Array(texts.length + 1);
  for (const [i, part] of encoded.entries()) offsets[i + 1] = (offsets[i] ?? 0) + part.byteLength;
  return {
    values: new Uint8Array(Buffer.concat(encoded)),
    offsets: new Uint8Array(offsets.buffer),
    validity: bitmap(there),
  };
}

/** All there is the same as no bitmap: a checked batch has none then. */
function bitmap(there: readonly boolean[] | undefined): Uint8Array | undefined {
  if (there === undefined || there.every(Boolean)) return undefined;
  const bits = new Uint8Array(bitmapBytes(there.length));
  for (const [i, isThere] of there.entries()) if (isThere) bits[i >>> 3] = (bits[i >>> 3] ?? 0) | (1 << (i & 7));
  return bits;
}
