import { readdirSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keyOfPath, pathOfKey } from '../../clients/cli/key-paths.js';
import { REQUIREMENTS } from '../python/package.js';
import { run as execute, virtualenv } from '../python/virtualenv.js';
import { Bench, problemOf } from './cli.js';

const SCRIPT = resolve('test/cli/read_tables.py');
const MIXED = problemOf(['x', 'FLOAT64'], ['n', 'INT64'], ['ok', 'BOOL'], ['label', 'STRING']);
const TABLE = 'x,n,ok,label\n0.5,1,true,a\n-0,,,""\n,9223372036854775807,false,\n';

let bench: Bench;
let python: string;

beforeAll(async () => {
  bench = await Bench.start();
  python = await virtualenv(REQUIREMENTS);
});

afterAll(() => bench[Symbol.asyncDispose]());

const at = (name: string) => bench.folder.at(name);
const files = (folder: string) =>
  readdirSync(at(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(at(folder).length + 1))
    .sort();

interface Read {
  readonly path: string;
  readonly library: string;
  readonly differences?: string[];
  readonly columns?: Record<string, unknown[]>;
}

async function readBy(...args: string[]): Promise<Read[]> {
  const { stdout } = await execute(python, [SCRIPT, 'read', ...args], { maxBuffer: 2 ** 26 });
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Read);
}

/** Every library reads every kind of file that it knows. */
const READINGS = 11;

describe('what is exported as Parquet and Arrow is read by pyarrow, pandas, Polars and DuckDB', () => {
  test('bit for bit: NaN with payload, -0, ±Inf, integers of 64 bits, texts, missing values', async () => {
    await execute(python, [SCRIPT, 'write', at('all.arrows')]);
    await bench.ok('save', 'all', at('all.arrows'));
    const paths = ['parquet', 'arrow', 'arrows'].map((format) => at(`exported.${format}`));
    for (const path of paths) await bench.ok('export', 'all', '-o', path);
    const read = await readBy(at('all.arrows'), ...paths);
    expect(read).toHaveLength(READINGS);
    expect(read.filter(({ differences }) => differences?.length !== 0)).toEqual([]);
  });

  test('without any rows, with all columns', async () => {
    await bench.save('empty', 'x,n,ok,label\n', MIXED);
    const paths = ['parquet', 'arrow', 'arrows'].map((format) => at(`empty.${format}`));
    for (const path of paths) await bench.ok('export', 'empty', '-o', path);
    const read = await readBy('', ...paths);
    expect(read).toHaveLength(READINGS);
    for (const { columns } of read) expect(columns).toEqual({ x: [], n: [], ok: [], label: [] });
  });

  test('of the columns and rows that were chosen, in the order wanted', async () => {
    await bench.save('some', TABLE, MIXED);
    await bench.ok('set', 'some', 'ends', '--rows', '0,2');
    await bench.ok('export', 'some', '--columns', 'label,n', '--set', 'ends', '-o', at('some.parquet'));
    for (const { columns } of await readBy('', at('some.parquet')))
      expect(Object.entries(columns ?? {})).toEqual([
        ['label', ['a', null]],
        ['n', ['1', '9223372036854775807']],
      ]);
  });
});

describe('one result', () => {
  test('goes to standard output as CSV, and as any format that is named', async () => {
    await bench.save('one', TABLE, MIXED);
    expect(await bench.ok('export', 'one')).toBe(TABLE);
    const lines = (await bench.ok('export', 'one', '--format', 'ndjson')).trim().split('\n');
    expect(lines).toEqual([
      '{"x":0.5,"n":1,"ok":true,"label":"a"}',
      '{"x":-0,"n":null,"ok":null,"label":""}',
      '{"x":null,"n":"9223372036854775807","ok":false,"label":null}',
    ]);
    expect(await bench.ok('export', 'one', '--format', 'parquet')).toMatch(/^PAR1[^]*PAR1$/);
  });

  test('is told of by --json, with what was written', async () => {
    await bench.save('told', TABLE, MIXED);
    const file = at('told.parquet');
    expect(await bench.json('export', 'told', '-o', file)).toEqual({
      ...{ key: 'told', file, revision: '1', rowCount: '3' },
      sizeBytes: String(statSync(file).size),
    });
  });

  test('leaves what was there, and no half file, where it can not be loaded', async () => {
    await bench.folder.file('kept.parquet', 'kept');
    const { code } = await bench.run('export', 'no/such', '-o', at('kept.parquet'));
    expect(code).toBe(1);
    expect(await bench.folder.read('kept.parquet')).toBe('kept');
    expect(readdirSync(bench.folder.path).filter((name) => name.endsWith('.partial'))).toEqual([]);
  });

  test('goes into what is no file, and does not replace it', async () => {
    await bench.save('nowhere', TABLE, MIXED);
    await bench.ok('load', 'nowhere', '-o', '/dev/null');
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true);
  });
});

describe('many results', () => {
  const keys = ['many/a', 'many/a/b', 'many/a.csv/c', 'many/ä 🚀', 'many/.hidden', 'many/%2E', 'many/A~b'];

  test('go to a file each, whose paths give the keys back', async () => {
    for (const key of keys) await bench.save(key, TABLE, MIXED);
    const told = await bench.ok('export', '--prefix', 'many/', '-o', at('many'), '--format', 'csv', '--json');
    const exported = told
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { key: string; file: string });
    expect(exported.map(({ key }) => key).sort()).toEqual([...keys].sort());
    expect(files('many')).toHaveLength(keys.length);
    expect(files('many').map(keyOfPath).sort()).toEqual([...keys].sort());
    for (const name of files('many')) expect(await bench.folder.read(`many/${name}`)).toBe(TABLE);
  });

  test('go on where one fails, which is told, and ends the command with 1', async () => {
    await bench.save('wide/1', TABLE, MIXED);
    await bench.save('wide/2', 'y\n1\n', problemOf(['y', 'FLOAT64']));
    await bench.save('wide/3', TABLE, MIXED);
    const flags = ['--prefix', 'wide/', '--columns', 'x', '--format', 'csv', '-o', at('wide')];
    const { code, stdout, stderr } = await bench.run('export', ...flags);
    expect([code, stdout]).toEqual([1, `2 results exported to ${at('wide')}; 1 failed\n`]);
    expect(stderr).toMatch(/^wide\/2: .*"x".*\n$/);
    expect(files('wide')).toEqual(['wide/1.csv', 'wide/3.csv']);
  });

  test('are named by a folder that can be made, else the system says why', async () => {
    await mkdir(at('taken'), { recursive: true });
    await bench.folder.file('taken/many', '');
    const { code, stderr } = await bench.run('export', '--prefix', 'many/', '-o', at('taken'));
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^(EEXIST|ENOTDIR)/)]);
  });
});

describe('the path of a key', () => {
  test('is another for another key, also of the longest, and no name is too long', () => {
    const long = 'x'.repeat(512);
    const keys = [
      long,
      `${'x'.repeat(511)}y`,
      '💥'.repeat(128),
      'a/b',
      'a%2Fb',
      'a\\b',
      'A',
      'a',
      'a.parquet',
      'a.parquet/b',
    ];
    const paths = keys.map((key) => pathOfKey(key, 'parquet'));
    expect(new Set(paths).size).toBe(keys.length);
    for (const name of paths.join('/').split('/')) expect(Buffer.byteLength(name)).toBeLessThan(240);
    // None is a folder where another is a file.
    for (const path of paths) expect(paths.filter((other) => other.startsWith(`${path}/`))).toEqual([]);
  });

  test.each(['../a', '..', '.'])('leads out of no folder: %s', (key) => {
    expect(pathOfKey(key, 'csv')).not.toMatch(/(^|\/)\.|^\//);
  });
});
