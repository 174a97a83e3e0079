import fc from 'fast-check';
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import type { Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ProblemSchema } from '../../proto/gen/optistore/v1/problem_pb.js';
import { schemaOf } from '../../server/rows/batch.js';
import { selectColumns, sliceBatch } from '../../server/rows/slice.js';
import { RunSummary } from '../../server/rows/summary.js';
import { anyCuts, anyVariablesAndRun } from '../rows/arbitrary-batch.js';
import { asText, commit, LINE, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';
import type { OpenBackend } from './suite.js';

const anyCutRun = anyVariablesAndRun.chain(({ variables, run }) =>
  fc.record({
    problem: fc.constant(create(ProblemSchema, { variables })),
    run: fc.constant(run),
    cuts: anyCuts(run.rowCount),
    range: fc.tuple(fc.nat(run.rowCount), fc.nat(run.rowCount)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)]),
    columns: fc.shuffledSubarray(
      variables.map((_, i) => i),
      { minLength: 1 },
    ),
  }),
);

const schemaFor = (problem: Problem) => schemaOf(problem.variables);

/** Promises about what is saved and loaded. */
export function rowPromises(open: OpenBackend): void {
  test('what loads is what was saved, bit for bit, however it was cut, with summaries that say what it holds', async () => {
    await using opened = await open();
    const property = fc.asyncProperty(anyCutRun, async ({ problem, run, cuts }) => {
      const pieces = cuts
        .slice(1)
        .map((end, i) => sliceBatch(schemaFor(problem), run, cuts[i] ?? 0, end - (cuts[i] ?? 0)));
      const manifest = await save(opened.backend, 'any', pieces, { problem });
      expect(asText(await load(opened.backend, manifest))).toEqual(asText(run));
      const summary = new RunSummary(problem.variables);
      summary.add(run);
      expect(manifest.columns).toEqual(summary.summaries());
    });
    await fc.assert(property, { numRuns: 40 });
  });

  test('chosen rows and columns load, in the order asked for', async () => {
    await using opened = await open();
    const property = fc.asyncProperty(anyCutRun, async ({ problem, run, range: [from = 0, to = 0], columns }) => {
      const manifest = await save(opened.backend, 'any', [run], { problem });
      const part = await load(opened.backend, manifest, { columns, firstRow: from, rowCount: to - from });
      const schema = columns.map((i) => schemaFor(problem)[i] ?? 0);
      const wanted = from === to ? undefined : sliceBatch(schema, selectColumns(run, columns), from, to - from);
      expect(asText(part)).toEqual(asText(wanted));
    });
    await fc.assert(property, { numRuns: 40 });
  });

  test('rows saved one by one load as those saved in bulk, in a few large pieces', async () => {
    await using opened = await open();
    const rows = Array.from({ length: 3000 }, (_, i) => lineRows(i, 1));
    const manifest = await save(opened.backend, 'slow', rows);
    expect(asText(await load(opened.backend, manifest))).toEqual(asText(lineRows(0, 3000)));
    let pieces = 0;
    const selection = { columns: [0, 1], firstRow: 0, rowCount: 3000 };
    for await (const piece of opened.backend.read(manifest, selection, RUNNING)) pieces += piece.rowCount > 0 ? 1 : 0;
    expect(pieces).toBeLessThan(5);
  });

  test('a result of many blocks loads whole and in part', async () => {
    await using opened = await open();
    const batches = Array.from({ length: 40 }, (_, i) => lineRows(i * 20_000, 20_000));
    const manifest = await save(opened.backend, 'large', batches);
    expect(manifest.rowCount).toBe(800_000n);
    const middle = await load(opened.backend, manifest, { columns: [1], firstRow: 399_999, rowCount: 2 });
    expect(asText(middle)).toEqual(asText(selectColumns(lineRows(399_999, 2), [1])));
    const whole = await load(opened.backend, manifest);
    expect(
      Buffer.compare(
        whole?.columns[0]?.values ?? Buffer.alloc(0),
        lineRows(0, 800_000).columns[0]?.values ?? Buffer.alloc(1),
      ),
    ).toBe(0);
  });

  test('a result without rows is a result', async () => {
    await using opened = await open();
    const manifest = await save(opened.backend, 'empty', []);
    expect(manifest.rowCount).toBe(0n);
    expect(await load(opened.backend, manifest)).toBeUndefined();
    expect((await opened.backend.stat('empty', undefined, RUNNING)).problem).toEqual(LINE);
  });

  test('a problem without variables is a result too', async () => {
    await using opened = await open();
    const problem = create(ProblemSchema, { name: 'nothing measured' });
    await using upload = await opened.backend.openUpload(uploadSpec('bare', 'bare', { problem }), RUNNING);
    expect((await commit(upload)).rowCount).toBe(0n);
  });

  test('tags, description and attributes come back', async () => {
    await using opened = await open();
    const more = { tags: { solver: 'nsga2' }, description: 'first try', attributes: { seed: 7, bounds: [0, 1.5] } };
    await save(opened.backend, 'said', [lineRows(0, 1)], more);
    expect(await opened.backend.stat('said', undefined, RUNNING)).toMatchObject(more);
  });
}
