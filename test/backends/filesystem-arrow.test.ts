import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ProblemSchema, ValueType, type Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import { openFilesystemBackend, type FilesystemBackend } from '../../server/backends/filesystem/filesystem-backend.js';
import { schemaOf, type Batch } from '../../server/rows/batch.js';
import { decodeColumn, valueAt } from '../../server/rows/columns.js';
import { sliceBatch } from '../../server/rows/slice.js';
import { run, virtualenv } from '../python/virtualenv.js';
import { MIXED, mixedRun } from '../rpc/sample-runs.js';
import { all, asText, lineRows, load, RUNNING, save } from './runs.js';

const PROBLEM: Problem = create(ProblemSchema, {
  ...MIXED,
  solver: 'by hand',
  variables: MIXED.variables.map((variable, i) => ({ ...variable, unit: i === 0 ? 'mm' : '' })),
});
const SCHEMA = schemaOf(PROBLEM.variables);

let folder: string;
let python: string;
let backend: FilesystemBackend;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'optistore-arrow-'));
  backend = await openFilesystemBackend({ base_path: folder });
  python = await virtualenv(resolve('test/python/requirements.txt'));
});
afterAll(async () => {
  await backend[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** The one folder of a key that begins so, and what `latest` in it points to. */
async function latestOf(start: string): Promise<string> {
  const [name = ''] = (await readdir(join(folder, 'results'))).filter((other) => other.startsWith(start));
  const key = join(folder, 'results', name);
  return join(key, await readlink(join(key, 'latest')));
}

interface ReadFile {
  readonly batch_count: number;
  readonly about: Readonly<Record<string, string>>;
  readonly types: readonly string[];
  readonly fields: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly columns: Readonly<Record<string, readonly (string | null)[]>>;
}

async function readWithPyarrow(...paths: string[]): Promise<ReadFile[]> {
  const script = resolve('test/python/read_arrow.py');
  const { stdout } = await run(python, [script, ...paths], { timeout: 60_000, maxBuffer: 2 ** 28 });
  return JSON.parse(stdout) as ReadFile[];
}

/** What Python prints of a batch's columns. */
function asPython(batch: Batch): Record<string, (string | null)[]> {
  const columns = PROBLEM.variables.map((variable, i) => {
    const column = batch.columns[i];
    if (column === undefined) throw new Error('a batch has the columns of its problem');
    // Of doubles, their bits.
    const shown = variable.valueType === ValueType.FLOAT64 ? { ...variable, valueType: ValueType.INT64 } : variable;
    const loaded = decodeColumn(shown, column, batch.rowCount);
    const values = Array.from({ length: batch.rowCount }, (_, row) => {
      const value = valueAt(loaded, row);
      if (value === null) return null;
      return typeof value === 'boolean' ? (value ? 'True' : 'False') : String(value);
    });
    return [variable.name, values] as const;
  });
  return Object.fromEntries(columns);
}

test('pyarrow opens the rows of a result: every value, bit for bit, missing ones, units and roles', async () => {
  const rows = mixedRun(60_000);
  const pieces = Array.from({ length: 6 }, (_, i) => sliceBatch(SCHEMA, rows, i * 10_000, 10_000));
  await save(backend, 'read/by pandas', pieces, { problem: PROBLEM });
  const [read] = await readWithPyarrow(join(await latestOf('read_by_pandas-'), 'rows-00000.arrow'));
  expect(read?.types).toEqual(['double', 'int64', 'bool', 'string']);
  expect(read?.batch_count).toBeGreaterThan(1);
  expect(read?.columns).toEqual(asPython(rows));
  expect(read?.about).toMatchObject({ 'optistore.key': 'read/by pandas', 'optistore.solver': 'by hand' });
  expect(read?.fields).toMatchObject({ f: { role: 'observable', unit: 'mm' }, s: { role: 'observable' } });
});

test('each append adds a file, the files before stay the same, and together they have all rows', async () => {
  const rows = mixedRun(1000);
  const part = (from: number, count: number) => [sliceBatch(SCHEMA, rows, from, count)];
  await save(backend, 'appended', part(0, 500), { problem: PROBLEM });
  await save(backend, 'appended', part(500, 1), { append: true, problem: PROBLEM });
  const before = await latestOf('appended-');
  await save(backend, 'appended', part(501, 499), { append: true, problem: PROBLEM });
  const after = await latestOf('appended-');
  const files = (await readdir(after)).filter((name) => name.endsWith('.arrow')).sort();
  expect(files).toEqual(['rows-00000.arrow', 'rows-00001.arrow', 'rows-00002.arrow']);
  for (const name of files.slice(0, 2))
    expect(await readFile(join(after, name))).toEqual(await readFile(join(before, name)));
  const read = await readWithPyarrow(...files.map((name) => join(after, name)));
  const joined = Object.keys(asPython(rows)).map((name) => [name, read.flatMap(({ columns }) => columns[name] ?? [])]);
  expect(Object.fromEntries(joined)).toEqual(asPython(rows));
  expect(asText(await load(backend, await backend.stat('appended')))).toEqual(asText(rows));
});

test('result.json is JSON for people', async () => {
  await save(backend, 'said', [lineRows(0, 3)], { tags: { team: 'wing' }, attributes: { seed: -0 } });
  const text = await readFile(join(await latestOf('said-'), 'result.json'), 'utf8');
  expect(JSON.parse(text)).toMatchObject({
    result: { key: 'said', revision: '1', rowCount: '3', tags: { team: 'wing' }, outcome: 'OUTCOME_FINISHED' },
  });
  expect(Object.is((await backend.stat('said')).attributes?.['seed'], -0)).toBe(true);
});

const KEYS = [
  ...['a/b', 'A/B', 'a_b', 'a%2Fb', '..x', '.hidden', 'x..', '~', 'CON', 'nul.txt', 'a:b', '-rf', 'a b', '*', '%'],
  ...['\u00e4', 'a\u0308', '\u{1f600}', '漢字/漢', 'latest', '00000001', 'k'.repeat(512), `${'k'.repeat(511)}l`],
  ...['K'.repeat(512), '\u00e4'.repeat(256)],
];

test('every key has a folder of its own, with a name that every file system takes', async () => {
  const base_path = join(folder, 'keys');
  await using store = await openFilesystemBackend({ base_path });
  for (const [i, key] of KEYS.entries()) await save(store, key, [lineRows(0, 1, i)], { tags: { i: String(i) } });
  const names = await readdir(join(base_path, 'results'));
  // Also on a disk that takes upper and lower case for one.
  expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(KEYS.length);
  for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]{1,100}-[0-9a-f]{32}$/);
  for (const [i, key] of KEYS.entries()) {
    const manifest = await store.stat(key);
    expect(manifest).toMatchObject({ key, revision: 1n, tags: { i: String(i) } });
  }
  const listed = store.list({ prefix: '', filter: undefined, orderBy: 'key', descending: false }, RUNNING);
  expect((await all(listed)).map(({ key }) => key).sort()).toEqual([...KEYS].sort());
});

test('no key leads out of the folder', async () => {
  const base_path = join(folder, 'safe');
  await using store = await openFilesystemBackend({ base_path });
  // The daemon refuses such keys before a store sees them.
  for (const key of ['../../out', '/etc/out', '..', 'a/../../out']) await save(store, key, [lineRows(0, 1)]);
  expect(await readdir(join(base_path, 'results'))).toHaveLength(4);
  expect(await readdir(base_path)).toEqual([
    'changes.log',
    'ended',
    'optistore.json',
    'results',
    'temporary',
    'uploads',
  ]);
});
