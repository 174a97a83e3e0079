import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench, problemOf, until } from './cli.js';

const PROBLEM = problemOf(['x', 'FLOAT64'], ['label', 'STRING']);
const CSV = 'x,label\n1,a\n2,\n';

let bench: Bench;
let problem: string;

beforeAll(async () => {
  bench = await Bench.start();
  problem = await bench.folder.file('all.json', PROBLEM);
});

afterAll(() => bench[Symbol.asyncDispose]());

const at = (name: string) => bench.folder.at(name);

function put(path: string, content: string | object | Uint8Array): void {
  mkdirSync(dirname(at(path)), { recursive: true });
  const isBytes = typeof content === 'string' || content instanceof Uint8Array;
  writeFileSync(at(path), isBytes ? content : JSON.stringify(content));
}

async function results(prefix: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { key, revision, rowCount } of bench.client.listResults({ prefix }))
    found[key] = `${rowCount} rows, revision ${revision}`;
  return found;
}

interface Line {
  readonly file: string;
  readonly key: string;
  readonly state: string;
  readonly revision?: string;
  readonly failure?: string;
}

const linesOf = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

describe('the tables below a folder', () => {
  test('of every format get their paths as keys, each with the problem beside it, its own, or that of all', async () => {
    put('in/a.csv', CSV);
    put('in/deep/b.ndjson', '{"x":1,"label":"a"}\n');
    put('in/deep/c%20d.json', { problem: PROBLEM, columns: { x: [1], label: ['a'] } });
    put('in/own.csv', 'y\n5\n');
    put('in/own.problem.json', problemOf(['y', 'INT64']));
    put('in/.hidden/e.csv', CSV);
    put('in/notes.txt', 'none');
    await bench.ok('save', 'template', at('in/a.csv'), '--problem', problem);
    for (const name of ['d.parquet', 'e.arrow', 'f.arrows'])
      await bench.ok('export', 'template', '-o', at(`in/${name}`));
    const told = await bench.ok('import', at('in'), '--prefix', 'runs/', '--problem', problem);
    expect(told).toBe('7 files imported, 0 as a new revision, 0 were there\n');
    expect(await results('runs/')).toEqual({
      'runs/a': '2 rows, revision 1',
      'runs/d': '2 rows, revision 1',
      'runs/deep/b': '1 rows, revision 1',
      'runs/deep/c d': '1 rows, revision 1',
      'runs/e': '2 rows, revision 1',
      'runs/f': '2 rows, revision 1',
      'runs/own': '1 rows, revision 1',
    });
    for (const key of ['runs/a', 'runs/d', 'runs/e', 'runs/f']) expect(await bench.ok('load', key)).toBe(CSV);
    expect(await bench.ok('load', 'runs/own')).toBe('y\n5\n');
    const { tags } = await bench.client.getResult('runs/deep/b');
    expect(tags).toMatchObject({ 'import.source': 'deep/b.ndjson' });
  });

  test('that were exported come back under their keys', async () => {
    const keys = ['back/a', 'back/a/b', 'back/ä 🚀', 'back/%41'];
    for (const key of keys) await bench.save(key, CSV, PROBLEM);
    await bench.ok('export', '--prefix', 'back/', '-o', at('back'));
    await bench.ok('delete', '--prefix', 'back/', '--yes');
    await bench.ok('import', at('back'));
    expect(Object.keys(await results('back/')).sort()).toEqual([...keys].sort());
  });

  test('that were exported as JSON are no problems, whatever their keys end in', async () => {
    for (const key of ['json/a', 'json/a.problem']) await bench.save(key, CSV, PROBLEM);
    await bench.ok('export', '--prefix', 'json/', '-o', at('json'), '--format', 'json');
    for (const key of ['json/a', 'json/a.problem']) await bench.client.deleteResult(key);
    await bench.ok('import', at('json'));
    expect(Object.keys(await results('json/'))).toEqual(['json/a', 'json/a.problem']);
  });

  test('that change are a new revision, those that do not are left alone', async () => {
    put('again/a.csv', CSV);
    put('again/b.csv', CSV);
    const flags = [at('again'), '--prefix', 'again/', '--problem', problem];
    await bench.ok('import', ...flags);
    put('again/b.csv', `${CSV}3,c\n`);
    const then = new Date(2020, 1, 1);
    // A newer or older time alone is no change.
    utimesSync(at('again/a.csv'), then, then);
    expect(await bench.ok('import', ...flags)).toBe('0 files imported, 1 as a new revision, 1 were there\n');
    expect(await results('again/')).toEqual({ 'again/a': '2 rows, revision 1', 'again/b': '3 rows, revision 2' });
    // Back to what it was: not the result of the first time, but a third revision.
    put('again/b.csv', CSV);
    await bench.ok('import', ...flags);
    expect(await results('again/')).toMatchObject({ 'again/b': '2 rows, revision 3' });
  });

  test('that were deleted are imported again', async () => {
    put('gone/a.csv', CSV);
    const flags = [at('gone'), '--prefix', 'gone/', '--problem', problem];
    for (let round = 0; round < 3; round++) {
      expect(await bench.ok('import', ...flags)).toContain('1 file imported');
      await bench.ok('delete', 'gone/a');
    }
  });

  test('do not replace what someone saved, unless that is said', async () => {
    put('kept/a.csv', CSV);
    await bench.save('kept/a', 'x\n9\n', problemOf(['x', 'FLOAT64']));
    const flags = [at('kept'), '--prefix', 'kept/', '--problem', problem];
    const { code, stderr } = await bench.run('import', ...flags);
    expect(stderr).toMatch(/^a\.csv: kept\/a has a result that was not imported.*--replace/);
    expect(code).toBe(1);
    expect(await bench.ok('load', 'kept/a')).toBe('x\n9\n');
    await bench.ok('import', ...flags, '--replace');
    expect(await bench.ok('load', 'kept/a')).toBe(CSV);
  });

  test('are saved by nothing but what is wrong with each; that is told at the end, and again the next time', async () => {
    put('bad/a.csv', CSV);
    put('bad/b.csv', 'x,label\nmany,a\n');
    put('bad/c.csv', CSV);
    put('bad/twice.csv', CSV);
    put('bad/twice.ndjson', '{"x":1}\n');
    put('bad/z.parquet', 'PAR1');
    symlinkSync(at('bad/nowhere'), at('bad/link.csv'));
    const flags = [at('bad'), '--prefix', 'bad/', '--problem', problem];
    for (const first of [true, false]) {
      const { code, stdout, stderr } = await bench.run('import', ...flags);
      const [counts] = [
        first
          ? '2 files imported, 0 as a new revision, 0 were there'
          : '0 files imported, 0 as a new revision, 2 were there',
      ];
      expect([code, stdout]).toEqual([1, `${counts}, 5 failed\n`]);
      const told = stderr.trim().split('\n').sort();
      expect(told).toEqual([
        'b.csv: Line 2: column "x" has "many" where a number was expected.',
        expect.stringMatching(/^link\.csv: .*link\.csv is not there/),
        'twice.csv: twice.ndjson would have the same key, bad/twice. Rename one, or import them apart.',
        'twice.ndjson: twice.csv would have the same key, bad/twice. Rename one, or import them apart.',
        expect.stringMatching(/^z\.parquet: The Parquet file can not be read/),
      ]);
      // What is wrong leaves no upload behind.
      expect(await bench.uploads()).toEqual({});
    }
    expect(await results('bad/')).toEqual({ 'bad/a': '2 rows, revision 1', 'bad/c': '2 rows, revision 1' });
  });

  test('are only told by --dry-run, and by --json an object a line', async () => {
    put('dry/a.csv', CSV);
    put('dry/b.csv', CSV);
    const flags = [at('dry'), '--prefix', 'dry/', '--problem', problem];
    expect(await bench.ok('import', ...flags, '--dry-run', '--jobs', '1')).toBe(
      'a.csv → dry/a: would be imported\nb.csv → dry/b: would be imported\n' +
        '2 files would be imported, 0 as a new revision, 0 are there: nothing was saved, this was a dry run\n',
    );
    expect(await results('dry/')).toEqual({});
    const told = linesOf(await bench.ok('import', ...flags, '--json', '--jobs', '1'));
    expect(told[0]).toEqual({ file: 'a.csv', key: 'dry/a', state: 'imported', revision: '1', rowCount: '2' });
    const again = linesOf(await bench.ok('import', ...flags, '--json'));
    expect(again.map(({ state }) => state)).toEqual(['unchanged', 'unchanged']);
  });

  test('that would fail are told by --dry-run: without a problem, with another head, with a wrong row at the beginning', async () => {
    put('would/a.csv', CSV);
    put('would/a.problem.json', PROBLEM);
    put('would/alone.csv', CSV);
    put('would/head.csv', 'other\n1\n');
    put('would/head.problem.json', PROBLEM);
    put('would/row.ndjson', '{"x":"many"}\n');
    put('would/row.problem.json', PROBLEM);
    const { code, stdout, stderr } = await bench.run('import', at('would'), '--prefix', 'would/', '--dry-run');
    expect(stdout).toBe(
      'a.csv → would/a: would be imported\n' +
        '1 file would be imported, 0 as a new revision, 0 are there, 3 would fail: nothing was saved, this was a dry run\n',
    );
    expect(stderr.trim().split('\n').sort()).toEqual([
      expect.stringMatching(/^alone\.csv: No problem is given/),
      expect.stringMatching(/^head\.csv: .*"other"/),
      expect.stringMatching(/^row\.ndjson: .*"many"/),
    ]);
    expect(code).toBe(1);
    expect([await results('would/'), await bench.uploads()]).toEqual([{}, {}]);
  });

  test('that are none at all are an error', async () => {
    mkdirSync(at('nothing'));
    const { code, stderr } = await bench.run('import', at('nothing'));
    expect([code, stderr]).toEqual([1, expect.stringContaining('has no file to import')]);
  });
});

test('an import that is killed and run again saves everything once', async () => {
  const rows = Array.from({ length: 60_000 }, (_, i) => `${i},row ${i}\n`).join('');
  const names = Array.from({ length: 12 }, (_, i) => `f${String(i).padStart(2, '0')}`);
  for (const [i, name] of names.entries()) put(`killed/${name}.csv`, `x,label\n${i},first\n${rows}`);
  const flags = ['import', at('killed'), '--prefix', 'killed/', '--problem', problem, '--jobs', '3'];
  for (const [least, rest] of [
    [2, 'of the first run'],
    [6, 'of the second'],
  ] as const) {
    await using importing = bench.start(...flags);
    await until(
      () => results('killed/'),
      (found) => Object.keys(found).length >= least,
    );
    await importing.stop('SIGKILL');
    expect(Object.keys(await results('killed/')).length, rest).toBeLessThan(names.length);
  }
  expect(await bench.ok(...flags)).toMatch(/^\d+ files? imported, 0 as a new revision, \d+ were there\n$/);
  const expected = names.map((name) => [`killed/${name}`, '60001 rows, revision 1']);
  expect(await results('killed/')).toEqual(Object.fromEntries(expected));
  expect(await bench.uploads()).toEqual({});
  for (const [i, name] of names.entries()) {
    const { columns } = await bench.client.load(`killed/${name}`).toColumns();
    const { x, label } = { x: columns['x']?.values as Float64Array, label: columns['label']?.values as string[] };
    expect(`x,label\n${Array.from(x, (value, row) => `${value},${label[row]}\n`).join('')}`).toBe(
      `x,label\n${i},first\n${rows}`,
    );
  }
});
