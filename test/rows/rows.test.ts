import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ValueType, VariableSchema } from '../../proto/gen/optistore/v1/problem_pb.js';
import { schemaOf } from '../../server/rows/batch.js';
import { batchCrc32, crc32, crc32Combine } from '../../server/rows/checksum.js';
import { gatherBatches } from '../../server/rows/gather.js';
import { selectColumns, sliceBatch } from '../../server/rows/slice.js';
import { RunSummary } from '../../server/rows/summary.js';
import { anyCuts, anyVariablesAndRun } from './arbitrary-batch.js';

const anyCutRun = anyVariablesAndRun.chain(({ variables, run }) =>
  anyCuts(run.rowCount).map((cuts) => ({ variables, run, cuts })),
);

function cutAt<T extends Parameters<typeof sliceBatch>[1]>(
  schema: Parameters<typeof sliceBatch>[0],
  run: T,
  cuts: number[],
) {
  return cuts.slice(1).map((end, i) => sliceBatch(schema, run, cuts[i] ?? 0, end - (cuts[i] ?? 0)));
}

describe('crc32Combine', () => {
  test('gives the checksum of both parts behind each other', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (a, b) => {
        expect(crc32Combine(crc32(a), crc32(b), b.byteLength)).toBe(crc32(Buffer.concat([a, b])));
      }),
    );
  });
});

// zlib's crc32 forgets what came before when the array is empty and has no memory.
test('an empty buffer does not change a checksum', () => {
  expect(crc32(new Uint8Array(new ArrayBuffer(0)), 12345)).toBe(12345);
});

describe('a run cut into batches', () => {
  test('is the same run when it is gathered again', () => {
    fc.assert(
      fc.property(anyCutRun, ({ variables, run, cuts }) => {
        const schema = schemaOf(variables);
        const again = gatherBatches(schema, cutAt(schema, run, cuts));
        expect(again).toEqual(run);
        expect(batchCrc32(again)).toBe(batchCrc32(run));
      }),
    );
  });

  test('has the same summaries and checksums however it is cut', () => {
    fc.assert(
      fc.property(anyCutRun, ({ variables, run, cuts }) => {
        const whole = new RunSummary(variables);
        whole.add(run);
        let pieces = new RunSummary(variables);
        for (const piece of cutAt(schemaOf(variables), run, cuts)) {
          pieces.add(piece);
          pieces = new RunSummary(variables, pieces.summaries());
        }
        expect(pieces.summaries()).toEqual(whole.summaries());
      }),
    );
  });
});

test('columns are selected in the order asked for', () => {
  fc.assert(
    fc.property(anyVariablesAndRun, ({ run }) => {
      const last = run.columns.length - 1;
      expect(selectColumns(run, [last, 0]).columns).toEqual([run.columns[last], run.columns[0]]);
    }),
  );
});

// Buffer.slice does not copy: once, the summary of an unaligned Buffer was that of the whole pool behind it.
test('a summary of an unaligned view of a Buffer is of that view alone', () => {
  const buffer = Buffer.alloc(64, 0xff);
  buffer.writeDoubleLE(3, 9);
  buffer.writeDoubleLE(5, 17);
  const summary = new RunSummary([create(VariableSchema, { name: 'x', valueType: ValueType.FLOAT64 })]);
  summary.add({
    firstRow: 0,
    rowCount: 2,
    columns: [{ values: buffer.subarray(9, 25), offsets: undefined, validity: undefined }],
  });
  expect(summary.summaries()[0]).toMatchObject({ min: 3, max: 5, nanCount: 0n, missingCount: 0n });
});
