import { readdirSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench, bitsOf, csvOf, doubleOf, problemOf } from './cli.js';

let bench: Bench;

beforeAll(async () => {
  bench = await Bench.start();
});

afterAll(() => bench[Symbol.asyncDispose]());

let count = 0;
const fresh = () => `tables/${count++}`;

describe('tables of JSON', () => {
  const problem = problemOf(['x', 'FLOAT64'], ['n', 'INT64'], ['ok', 'BOOL'], ['label', 'STRING']);
  const columns = {
    x: [0.1, null, 'NaN', 'Infinity', '-Infinity', 5e-324],
    n: [1, null, '9223372036854775807', '-9007199254740993', 9007199254740991, 0],
    ok: [true, null, false, true, true, false],
    label: ['a', null, '', '🚀', 'two\nlines', '"'],
  };

  test('bring their problem, and come back as they were', async () => {
    const key = fresh();
    await bench.ok('save', key, await bench.folder.file('in.json', { problem, columns }));
    await bench.ok('load', key, '-o', bench.folder.at('out.json'));
    expect(JSON.parse(await bench.folder.read('out.json'))).toEqual({ problem, columns });
  });

  test('take the problem that the command line names', async () => {
    const key = fresh();
    const table = await bench.folder.file('in.json', { columns: { x: [-0, 1] } });
    const named = await bench.folder.file('problem.json', problemOf(['x', 'FLOAT64']));
    await bench.ok('save', key, table, '--problem', named);
    // JSON.stringify made 0 of -0; what counts here is that the rows are there.
    expect(await bench.ok('load', key)).toBe('x\n0\n1\n');
  });

  test('keep the sign of zero', async () => {
    const key = fresh();
    const text = `{"problem":${JSON.stringify(problemOf(['x', 'FLOAT64']))},"columns":{"x":[-0,0,-0.0]}}`;
    await bench.ok('save', key, await bench.folder.file('in.json', text));
    await bench.ok('load', key, '-o', bench.folder.at('out.json'));
    const out = JSON.parse(await bench.folder.read('out.json')) as { columns: { x: number[] } };
    expect(out.columns.x).toEqual([-0, 0, -0]);
  });

  test.each([
    ['an integer beyond 64 bits', { n: ['9223372036854775808'] }, /"n" is "9223372036854775808".*INT64/],
    ['an integer as a number that is not exact', { n: [2 ** 53] }, /"n" is 9007199254740992.*INT64/],
    ['a text for a number', { n: ['many'] }, /"n" is "many".*INT64/],
    ['a column that the problem has not', { n: [1], m: [1] }, /"m"/],
    ['no column', {}, /"n"/],
  ])('%s is an error that names the place', async (_, wrong, message) => {
    const table = await bench.folder.file('bad.json', { problem: problemOf(['n', 'INT64']), columns: wrong });
    const { code, stdout, stderr } = await bench.run('save', fresh(), table);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect([code, stdout]).toEqual([1, '']);
  });

  test('columns of different lengths are an error', async () => {
    const wrong = { problem: problemOf(['n', 'INT64'], ['m', 'INT64']), columns: { n: [1, 2], m: [1] } };
    const { code, stderr } = await bench.run('save', fresh(), await bench.folder.file('bad.json', wrong));
    expect(stderr).toContain('different lengths');
    expect(code).toBe(1);
  });

  test('a text that UTF-8 can not hold is refused, not changed', async () => {
    const text = `{"problem":${JSON.stringify(problemOf(['label', 'STRING']))},"columns":{"label":["\\ud800"]}}`;
    const { code, stderr } = await bench.run('save', fresh(), await bench.folder.file('bad.json', text));
    expect(stderr).toContain('label');
    expect(code).toBe(1);
  });
});

describe('parts of a result', () => {
  const key = 'tables/parts';

  beforeAll(async () => {
    const rows = Array.from({ length: 10 }, (_, i) => `${i},${i / 8},r${i}\n`).join('');
    await bench.save(key, `n,x,label\n${rows}`, problemOf(['n', 'INT64'], ['x', 'FLOAT64'], ['label', 'STRING']));
  });

  const numbers = async (...flags: string[]) => csvOf(await bench.ok('load', key, '--columns', 'n', ...flags)).flat();
  const upTo = (first: number, end: number) => Array.from({ length: end - first }, (_, i) => String(first + i));

  test('columns come alone, in the order asked for', async () => {
    expect(await bench.ok('load', key, '--columns', 'label,n', '--rows', '0:2')).toBe('label,n\nr0,0\nr1,1\n');
  });

  test.each([
    ['0:3', 0, 3],
    ['4:7', 4, 7],
    [':2', 0, 2],
    ['8:', 8, 10],
    ['8:100', 8, 10],
    [':', 0, 10],
    ['3:3', 0, 0],
    ['10:', 0, 0],
  ])('rows %s', async (range, first, end) => {
    expect(await numbers('--rows', range)).toEqual(['n', ...upTo(first, end)]);
  });

  test('columns and rows go to JSON too, with the problem of those columns', async () => {
    await bench.ok('load', key, '--columns', 'x,n', '--rows', '1:3', '-o', bench.folder.at('part.json'));
    expect(JSON.parse(await bench.folder.read('part.json'))).toEqual({
      problem: problemOf(['x', 'FLOAT64'], ['n', 'INT64']),
      columns: { x: [0.125, 0.25], n: [1, 2] },
    });
  });

  test('standard output and a file get the same', async () => {
    await bench.ok('load', key, '-o', bench.folder.at('whole.csv'));
    expect(await bench.ok('load', key)).toBe(await bench.folder.read('whole.csv'));
  });

  test('a column or row that is not there is an error that says what there is', async () => {
    const column = await bench.run('load', key, '--columns', 'n,nope');
    expect(column).toMatchObject({ code: 1, stdout: '' });
    expect(column.stderr).toMatch(/"nope".*n, x, label.*COLUMN_NOT_FOUND/);
    const row = await bench.run('load', key, '--rows', '11:');
    expect(row).toMatchObject({ code: 1, stdout: '' });
    expect(row.stderr).toMatch(/11.*10.*ROW_RANGE_INVALID/);
  });

  test('a result without rows gives its head, and saves again', async () => {
    const empty = fresh();
    await bench.save(empty, 'n,x\n', problemOf(['n', 'INT64'], ['x', 'FLOAT64']));
    expect(await bench.ok('load', empty)).toBe('n,x\n');
    expect(await bench.stored(empty)).toMatchObject({ key: empty, revision: '1' });
  });

  test('an older revision can be asked for', async () => {
    const revised = fresh();
    for (const n of [1, 2]) await bench.save(revised, `n\n${n}\n`, problemOf(['n', 'INT64']));
    expect(await bench.ok('load', revised, '--revision', '1')).toBe('n\n1\n');
    expect(await bench.ok('load', revised)).toBe('n\n2\n');
  });
});

describe('files to load to', () => {
  test('a load that fails leaves what was there, and no half file', async () => {
    await bench.folder.file('kept.csv', 'mine');
    const before = await readdir(bench.folder.path);
    const { code, stderr } = await bench.run('load', 'tables/none', '-o', bench.folder.at('kept.csv'));
    expect(stderr).toContain('RESULT_NOT_FOUND');
    expect(code).toBe(1);
    expect(await bench.folder.read('kept.csv')).toBe('mine');
    expect(await readdir(bench.folder.path)).toEqual(before);
  });

  test('a folder that is not there is an error that names the folder, without a stack', async () => {
    const key = fresh();
    await bench.save(key, 'n\n1\n', problemOf(['n', 'INT64']));
    const { code, stderr } = await bench.run('load', key, '-o', bench.folder.at('nowhere/out.csv'));
    expect(stderr).toContain(`The folder ${bench.folder.at('nowhere')} is not there.`);
    expect(stderr).not.toMatch(/^\s+at |node:events/m);
    expect(code).toBe(1);
  });

  test('a reader that has enough, such as head, is no failure', async () => {
    const key = fresh();
    const rows = Array.from({ length: 50_000 }, (_, i) => `${i}\n`).join('');
    await bench.save(key, `n\n${rows}`, problemOf(['n', 'INT64']));
    const loading = bench.start('load', key);
    loading.closeOutput();
    expect(await loading.ended()).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('each example fits its problem and comes back', () => {
  const folder = resolve('examples');
  const names = readdirSync(folder).flatMap((name) => (name.endsWith('.csv') ? [name.slice(0, -'.csv'.length)] : []));

  test('there are the four of the README and the issue', () => {
    expect(names).toEqual(expect.arrayContaining(['beam_optuna', 'bnh', 'dtlz2', 'welded_beam']));
  });

  test.each(names)('%s', async (name) => {
    const csv = resolve(folder, `${name}.csv`);
    const problem = resolve(folder, `${name}.problem.json`);
    await bench.ok('save', `examples/${name}`, csv, '--problem', problem);
    const { variables } = JSON.parse(await readFile(problem, 'utf8')) as { variables: { valueType: string }[] };
    const parsed = (rows: string[][]) =>
      rows.map((row) => row.map((cell, i) => valueOf(cell, variables[i]?.valueType ?? '')));
    const [head, ...rows] = csvOf(await readFile(csv, 'utf8'));
    const [loadedHead, ...loaded] = csvOf(await bench.ok('load', `examples/${name}`));
    expect(loadedHead).toEqual(head);
    expect(loaded.length).toBe(rows.length);
    expect(parsed(loaded)).toEqual(parsed(rows));
    expect(await bench.stored(`examples/${name}`)).toMatchObject({ rowCount: String(rows.length) });
  });

  function valueOf(cell: string, type: string): unknown {
    if (cell === '') return null;
    if (type === 'VALUE_TYPE_FLOAT64') return bitsOf(doubleOf(cell));
    if (type === 'VALUE_TYPE_INT64') return BigInt(cell);
    return type === 'VALUE_TYPE_BOOL' ? cell.toLowerCase() === 'true' : cell;
  }
});
