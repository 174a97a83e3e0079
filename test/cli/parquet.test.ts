import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { toJson } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ColumnSummarySchema } from '../../proto/gen/optistore/v1/result_pb.js';
import { REQUIREMENTS } from '../python/package.js';
import { run as execute, virtualenv } from '../python/virtualenv.js';
import { Bench, problemOf } from './cli.js';

const SCRIPT = resolve('test/cli/read_tables.py');
const PROBLEM = {
  name: 'all values',
  description: 'what formats lose',
  solver: 'by hand',
  variables: [
    {
      name: 'x',
      role: 'VARIABLE_ROLE_DESIGN_VARIABLE',
      valueType: 'VALUE_TYPE_FLOAT64',
      unit: 'in',
      lowerBound: '-Infinity',
    },
    { name: 'f', role: 'VARIABLE_ROLE_OBJECTIVE', valueType: 'VALUE_TYPE_FLOAT64', direction: 'DIRECTION_MAXIMIZE' },
    { name: 'n', role: 'VARIABLE_ROLE_OBSERVABLE', valueType: 'VALUE_TYPE_INT64' },
    { name: 'ok', role: 'VARIABLE_ROLE_OBSERVABLE', valueType: 'VALUE_TYPE_BOOL' },
    { name: 'label', role: 'VARIABLE_ROLE_OBSERVABLE', valueType: 'VALUE_TYPE_STRING', categories: ['a', 'b'] },
  ],
};
/** What each writes that tells of the problem: Polars and DuckDB keep none of the metadata. */
const BY_PYARROW = ['none', 'snappy', 'gzip', 'brotli', 'zstd', 'lz4', 'v2', 'split'];
const WITHOUT_PROBLEM = ['pandas', 'polars', 'duckdb'];

let bench: Bench;
let problem: string;
let expected: string;

beforeAll(async () => {
  bench = await Bench.start();
  problem = await bench.folder.file('problem.json', PROBLEM);
  await execute(await virtualenv(REQUIREMENTS), [SCRIPT, 'write-parquet', bench.folder.path]);
  await bench.ok('save', 'plain', at('plain.arrows'));
  expected = await digest('plain');
});

afterAll(() => bench[Symbol.asyncDispose]());

const at = (name: string) => bench.folder.at(name);

/** Of all values, bit for bit. */
async function digest(key: string): Promise<string> {
  const { columns } = await bench.client.getResult(key);
  const summaries = columns.map((column) => toJson(ColumnSummarySchema, column));
  return createHash('sha256').update(JSON.stringify(summaries)).digest('hex');
}

describe('Parquet is saved as it is', () => {
  test.each(BY_PYARROW)('as pyarrow writes it: %s, with the problem of its metadata', async (name) => {
    await bench.ok('save', name, at(`${name}.parquet`));
    expect(await digest(name)).toBe(expected);
    const { problem: found } = (await bench.stored(name)) as { problem: { name: string; variables: object[] } };
    expect(found).toMatchObject({ name: PROBLEM.name, solver: PROBLEM.solver });
    // Fields of Arrow have no categories.
    expect(found.variables).toEqual(PROBLEM.variables.map((variable) => ({ ...variable, categories: undefined })));
  });

  test.each(WITHOUT_PROBLEM)('as %s writes it, with the problem beside it', async (name) => {
    await bench.ok('save', name, at(`${name}.parquet`), '--problem', problem);
    expect(await digest(name)).toBe(expected);
  });

  test.each(['parquet', 'arrow', 'arrows', 'json'])(
    'exported as %s and saved again it has all of its problem',
    async (format) => {
      await bench.ok('save', 'whole', at('plain.arrows'), '--problem', problem);
      await bench.ok('export', 'whole', '-o', at(`whole.${format}`));
      await bench.ok('save', `whole/${format}`, at(`whole.${format}`));
      const { problem: found } = await bench.stored(`whole/${format}`);
      expect(found).toEqual((await bench.stored('whole'))['problem']);
      expect(await digest(`whole/${format}`)).toBe(expected);
    },
  );

  test('of narrower types, and whatever its name is', async () => {
    const narrow = await bench.folder.file('narrow.json', problemOf(['x', 'FLOAT64'], ['n', 'FLOAT64']));
    await writeFile(at('no-ending'), readFileSync(at('narrow.parquet')));
    await bench.ok('save', 'narrow', at('no-ending'), '--problem', narrow);
    expect(await bench.ok('load', 'narrow')).toBe('x,n\n1.5,4294967295\n,7\n');
  });

  test('goes on with the rows that an upload does not have', async () => {
    const flags = ['--problem', problem, '--upload-id', 'half'];
    await bench.ok('export', 'plain', '--rows', '0:1000', '-o', at('begin.csv'));
    await using half = bench.start('save', 'half', '-', ...flags, '--format', 'csv');
    half.print(readFileSync(at('begin.csv')));
    half.print('broken off');
    half.closeInput();
    expect((await half.ended()).code).toBe(1);
    await bench.ok('save', 'half', at('snappy.parquet'), ...flags);
    expect(await digest('half')).toBe(expected);
  });
});

describe('Parquet that can not be saved', () => {
  const oneOf = (name: string, type: string) => bench.folder.file(`${name}-${type}.json`, problemOf([name, type]));

  test.each([
    ['times', 'x', 'INT64', /"x" is TIMESTAMP in the Parquet input; the variable is INT64\. Cast it there/],
    ['narrow', 'x', 'FLOAT64', /the column "n", which the problem has not/],
    ['beyond', 'n', 'INT64', /^Row 1 of "n" is 9223372036854775808; the variable is INT64\./m],
    ['beyond', 'n', 'STRING', /"n" is INTEGER in the Parquet input; the variable is STRING/],
    ['duckdb', 'n', '', /No problem is given, and the schema does not say what "x" is.*--problem problem\.json/],
  ])('tells why: %s, %s as %s', async (file, name, type, message) => {
    const flags = type === '' ? [] : ['--problem', await oneOf(name, type)];
    const { code, stderr } = await bench.run('save', 'refused', at(`${file}.parquet`), ...flags);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
  });

  test('tells that it is cut short', async () => {
    await writeFile(at('cut.parquet'), readFileSync(at('snappy.parquet')));
    await truncate(at('cut.parquet'), 10_000);
    const { code, stderr } = await bench.run('save', 'cut', at('cut.parquet'));
    expect(stderr).toMatch(/^The Parquet file can not be read: .*cut short/);
    expect(code).toBe(1);
  });

  test('does not come as a stream', async () => {
    await using saving = bench.start('save', 'stream', '-');
    saving.print(readFileSync(at('none.parquet')).subarray(0, 100));
    saving.closeInput();
    const { code, stderr } = await saving.ended();
    expect([code, stderr]).toEqual([1, expect.stringContaining('Name the file instead.')]);
  });
});
