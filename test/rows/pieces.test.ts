import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeBlock, encodePieces } from '../../server/backends/blocks/block-format.js';
import { schemaOf } from '../../server/rows/batch.js';
import { crc32 } from '../../server/rows/checksum.js';
import { joinBatches } from '../../server/rows/gather.js';
import { sliceBatch } from '../../server/rows/slice.js';
import { anyCuts, anyVariablesAndRun } from './arbitrary-batch.js';

const anyCutRun = anyVariablesAndRun.chain(({ variables, run }) =>
  anyCuts(run.rowCount).map((cuts) => ({ variables, run, cuts })),
);

test('a run cut into batches is the same block when it is written from where its pieces lie', () => {
  fc.assert(
    fc.property(anyCutRun, fc.boolean(), ({ variables, run, cuts }, isCrcKnown) => {
      const schema = schemaOf(variables);
      const batches = cuts.slice(1).map((end, i) => {
        const batch = sliceBatch(schema, run, cuts[i] ?? 0, end - (cuts[i] ?? 0));
        const columns = batch.columns.map((column) => ({ ...column, valuesCrc: crc32(column.values) }));
        return isCrcKnown ? { ...batch, columns } : batch;
      });
      const { buffers, ...pieced } = encodePieces(joinBatches(schema, batches), 7n);
      const { buffers: wholeBuffers, ...whole } = encodeBlock(run, 7n);
      expect(Buffer.concat(buffers).equals(Buffer.concat(wholeBuffers))).toBe(true);
      expect(pieced).toEqual(whole);
    }),
  );
});
