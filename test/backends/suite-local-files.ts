import { access } from 'node:fs/promises';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { LocalFiles } from '../../clients/typescript/local-files.js';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { FileBlocks, StorageBackend } from '../../server/backends/backend.js';
import { LOCAL_FILES_KEPT_MS } from '../../server/limits.js';
import type { Batch } from '../../server/rows/batch.js';
import { schemaOf } from '../../server/rows/batch.js';
import { gatherBatches } from '../../server/rows/gather.js';
import { selectRows, type Selection } from '../../server/rows/select.js';
import { selectColumns, sliceBatch } from '../../server/rows/slice.js';
import { toLocalBlocks } from '../../server/rpc/local-blocks.js';
import { MIXED, mixedRun } from '../rpc/sample-runs.js';
import { asText, lineRows, RUNNING, save } from './runs.js';
import type { OpenBackend } from './suite.js';

const RETENTION_MS = 60_000;
const ROWS = 12_000;
const RUN = mixedRun(ROWS);
const SCHEMA = schemaOf(MIXED.variables);
/** Of MIXED; Arrow has bools in another form. */
const WITHOUT_BOOLS = [0, 1, 3];

/** Rows as they are read by who opens the files; undefined where none lie in files. */
async function readFiles(backend: StorageBackend, manifest: Manifest, selection: Selection) {
  const located = backend.locate(manifest, selection, RUNNING);
  if (located === undefined) return undefined;
  const variables = selection.columns.map((index) => manifest.problem?.variables[index] as Variable);
  const schema = schemaOf(variables);
  const parts: Batch[] = [];
  const paths = new Set<string>();
  await using files = new LocalFiles();
  const take = (batch: Batch) => {
    const all = { ...selection, columns: variables.map((_, index) => index) };
    const part = selectRows(schema, batch, all);
    if (part !== undefined) parts.push(part);
  };
  for await (const told of located) {
    if (!('file' in told)) {
      take(told);
      continue;
    }
    paths.add(told.file.path);
    for (const message of toLocalBlocks(told, variables))
      for await (const batch of files.read(message, variables)) take(batch);
  }
  return { rows: gatherBatches(schema, parts), paths: [...paths] };
}

async function firstPlaces(backend: StorageBackend, manifest: Manifest): Promise<AsyncGenerator<Batch | FileBlocks>> {
  const selection = { columns: [0], firstRow: 0, rowCount: Number(manifest.rowCount) };
  const located = backend.locate(manifest, selection, RUNNING) as AsyncGenerator<Batch | FileBlocks>;
  expect((await located.next()).value).toHaveProperty('file.path');
  return located;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Promises of a store whose files others may read. */
export function localFilesPromises(open: OpenBackend): void {
  test('places lead to the rows that are asked for, bit for bit', async () => {
    await using opened = await open();
    const { backend } = opened;
    const pieces = Array.from({ length: 4 }, (_, i) => sliceBatch(SCHEMA, RUN, i * 3000, 3000));
    const manifest = await save(backend, 'k', pieces, { problem: MIXED });
    const property = fc.asyncProperty(
      fc.shuffledSubarray(WITHOUT_BOOLS, { minLength: 1 }),
      fc.nat(ROWS - 1),
      fc.integer({ min: 1, max: ROWS }),
      async (columns, firstRow, most) => {
        const rowCount = Math.min(most, ROWS - firstRow);
        const read = await readFiles(backend, manifest, { columns, firstRow, rowCount });
        const schema = columns.map((index) => SCHEMA[index] ?? 0);
        expect(asText(read?.rows)).toEqual(asText(sliceBatch(schema, selectColumns(RUN, columns), firstRow, rowCount)));
      },
    );
    await fc.assert(property, { numRuns: 30 });
    const all = await readFiles(backend, manifest, { columns: [0, 1, 2, 3], firstRow: 0, rowCount: ROWS });
    if (all !== undefined) expect(asText(all.rows)).toEqual(asText(RUN));
  });

  test('rows that were appended follow, whether they lie in files or not', async () => {
    await using opened = await open();
    const { backend } = opened;
    await save(backend, 'k', [lineRows(0, 10)]);
    await save(backend, 'k', [lineRows(10, 9_990)], { append: true });
    const manifest = await save(backend, 'k', [lineRows(10_000, 10)], { append: true });
    const read = await readFiles(backend, manifest, { columns: [0, 1], firstRow: 3, rowCount: 10_005 });
    expect(asText(read?.rows)).toEqual(
      asText(sliceBatch(schemaOf(manifest.problem?.variables ?? []), lineRows(0, 10_010), 3, 10_005)),
    );
  });

  test('a file that a reader was told of is there while the load runs and a while longer, whatever becomes of its key', async () => {
    await using opened = await open({ revision_retention_ms: RETENTION_MS });
    const { backend } = opened;
    const manifest = await save(backend, 'k', [lineRows(0, 9000)]);
    const selection = { columns: [0], firstRow: 0, rowCount: 9000 };
    const [path = ''] = (await readFiles(backend, manifest, selection))?.paths ?? [];
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    try {
      const located = await firstPlaces(backend, manifest);
      await backend.delete('k', undefined, RUNNING);
      await opened.sweep(Date.now() + 2 * RETENTION_MS);
      expect(await isThere(path)).toBe(true);
      while ((await located.next()).done !== true);
      vi.advanceTimersByTime(LOCAL_FILES_KEPT_MS - 1);
      await opened.sweep(Date.now() + 2 * RETENTION_MS);
      expect(await isThere(path)).toBe(true);
      vi.advanceTimersByTime(1);
    } finally {
      vi.useRealTimers();
    }
  });

  test('a file is gone with its revision, and its name is not given to another one', async () => {
    await using opened = await open({ revision_retention_ms: RETENTION_MS });
    const paths = new Set<string>();
    for (let i = 1; i <= 5; i++) {
      vi.useFakeTimers({ toFake: ['setTimeout'] });
      try {
        const manifest = await save(opened.backend, 'k', [lineRows(0, 9000, i)]);
        const located = await firstPlaces(opened.backend, manifest);
        await located.return(undefined);
        vi.advanceTimersByTime(LOCAL_FILES_KEPT_MS);
        const selection = { columns: [0], firstRow: 0, rowCount: 9000 };
        const [path = ''] = (await readFiles(opened.backend, manifest, selection))?.paths ?? [];
        vi.advanceTimersByTime(LOCAL_FILES_KEPT_MS);
        paths.add(path);
        await opened.backend.delete('k', undefined, RUNNING);
        await opened.sweep(Date.now() + 2 * RETENTION_MS);
        expect(await isThere(path)).toBe(false);
      } finally {
        vi.useRealTimers();
      }
      await opened.reopen();
    }
    expect(paths.size).toBe(5);
  });
}
