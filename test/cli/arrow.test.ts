import { readdirSync, readFileSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Message } from 'apache-arrow/ipc/metadata/message';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createClient,
  Direction,
  ValueType,
  valueAt,
  VariableRole,
  type LoadedColumn,
} from '../../clients/typescript/index.js';
import { REQUIREMENTS } from '../python/package.js';
import { run as execute, virtualenv } from '../python/virtualenv.js';
import { TestDaemon } from '../rpc/wire.js';
import { Bench, problemOf, type Running } from './cli.js';

const ROWS = 40_000;
const INTEGERS = ['int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64'];
const TEXTS = ['utf8', 'large', 'view', 'dictionary'];
const PROBLEM = problemOf(
  ...(['bits', 'f64', 'f32', 'i64_as_f64'] as const).map((name) => [name, 'FLOAT64'] as const),
  ...INTEGERS.map((name) => [name, 'INT64'] as const),
  ['bool', 'BOOL'],
  ...TEXTS.map((name) => [name, 'STRING'] as const),
  ['nothing', 'STRING'],
);

let bench: Bench;
let problem: string;

beforeAll(async () => {
  bench = await Bench.start();
  problem = await bench.folder.file('problem.json', PROBLEM);
  await execute(await virtualenv(REQUIREMENTS), [resolve('test/cli/write_arrow.py'), bench.folder.path]);
});

afterAll(() => bench[Symbol.asyncDispose]());

const file = (name: string) => bench.folder.at(name);

async function columnsOf(key: string): Promise<Record<string, LoadedColumn>> {
  return (await bench.client.load(key).toColumns()).columns;
}

/** What write_arrow.py wrote, by name: values row by row. */
function expected(row: number): Record<string, unknown> {
  const kept = <Value>(value: Value) => (row % 3 === 2 ? null : value);
  const text = kept(row % 5 === 0 ? '' : `größe ${row}`);
  return {
    f64: kept(row / 7),
    f32: kept(row / 8),
    i64_as_f64: kept(row),
    ...Object.fromEntries(INTEGERS.map((name) => [name, kept(BigInt(row % 100))])),
    int64: kept(BigInt(row) - 2n ** 62n),
    bool: kept(row % 2 === 1),
    utf8: text,
    large: text,
    view: text,
    dictionary: kept(`kind ${row % 4}`),
    nothing: null,
  };
}

function expectAll(columns: Record<string, LoadedColumn>): void {
  for (let row = 0; row < ROWS; row++)
    for (const [name, value] of Object.entries(expected(row))) {
      const found = valueAt(columns[name] as LoadedColumn, row);
      if (!Object.is(found, value)) expect({ name, row, found }).toEqual({ name, row, found: value });
    }
  const { buffer, byteOffset, length } = columns['bits']?.values as Float64Array<ArrayBuffer>;
  const bits = [0x7ff0000000000001n, 0x7ff8deadbeef0000n, 0xfff8000000000000n];
  expect(length).toBe(ROWS);
  expect([...new BigUint64Array(buffer, byteOffset, 3)]).toEqual(bits);
}

const save = (key: string, ...flags: string[]) => bench.start('save', key, '-', ...flags);

async function piped(key: string, bytes: Uint8Array, ...flags: string[]) {
  await using running = save(key, ...flags);
  running.print(bytes);
  running.closeInput();
  return await running.ended();
}

describe('Arrow, as pyarrow writes it', () => {
  test('every type comes back, each value and bit, missing ones too, from a pipe', async () => {
    const ended = await piped('arrow/pipe', readFileSync(file('all.arrows')), '--problem', problem);
    expect(ended).toEqual({ code: 0, stdout: `arrow/pipe: ${ROWS} rows, revision 1\n`, stderr: '' });
    expectAll(await columnsOf('arrow/pipe'));
  });

  test('and from a file, of the file format as of the stream, by its name or its first bytes', async () => {
    await copyFile(file('all.arrow'), file('all.rows'));
    for (const name of ['all.arrow', 'all.rows', 'all.arrows']) {
      expect(await bench.ok('save', 'arrow/file', file(name), '--problem', problem)).toContain(`${ROWS} rows`);
      expectAll(await columnsOf('arrow/file'));
    }
  });

  test('a file comes through a pipe as well, and its writer is read to the end', async () => {
    const ended = await piped('arrow/piped', readFileSync(file('all.arrow')), '--problem', problem);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expectAll(await columnsOf('arrow/piped'));
  });

  test('pandas needs no more than a frame without its index', async () => {
    const pair = await bench.folder.file('pair.json', problemOf(['x', 'FLOAT64'], ['label', 'STRING']));
    expect(await bench.ok('save', 'arrow/frame', file('frame.arrows'), '--problem', pair)).toContain('2 rows');
    expect(await bench.ok('load', 'arrow/frame')).toBe('x,label\n0.5,a\n,\n');
    const { code, stderr } = await bench.run('save', 'arrow/index', file('index.arrows'), '--problem', pair);
    expect(stderr).toMatch(/column "__index_level_0__", which the problem has not \(.*preserve_index=False\)/);
    expect(code).toBe(1);
  });
});

describe('the problem', () => {
  test('comes from the metadata of the schema', async () => {
    const ended = await piped('arrow/told', readFileSync(file('told.arrows')));
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    const shown = (await bench.stored('arrow/told')) as { problem: object };
    expect(shown.problem).toEqual({
      name: 'wing',
      variables: [
        {
          name: 'x',
          role: 'VARIABLE_ROLE_DESIGN_VARIABLE',
          valueType: 'VALUE_TYPE_FLOAT64',
          unit: 'mm',
          lowerBound: -1.5,
        },
        {
          name: 'f',
          role: 'VARIABLE_ROLE_OBJECTIVE',
          valueType: 'VALUE_TYPE_FLOAT64',
          description: 'lift',
          direction: 'DIRECTION_MAXIMIZE',
        },
      ],
    });
    expect(await bench.ok('load', 'arrow/told')).toBe('x,f\n1.5,2\n,3\n');
  });

  test('is whole in the files of the store filesystem', async () => {
    const primary = { type: 'filesystem', base_path: file('store') };
    await using daemon = await TestDaemon.startWith({ primary });
    await using client = createClient({ address: daemon.address });
    const given = {
      role: VariableRole.OBJECTIVE,
      direction: Direction.MINIMIZE,
      valueType: ValueType.FLOAT64,
      ideal: -Infinity,
      nadir: 1e300,
    };
    const limit = { role: VariableRole.EQUALITY_CONSTRAINT, valueType: ValueType.INT64, target: 2, tolerance: 1e-9 };
    const variables = [
      { ...given, name: 'f', unit: 'kg', description: 'mass' },
      { ...limit, name: 'h', lowerBound: -0.5, upperBound: 7 },
    ];
    const writer = await client.save('stored', { name: 'beam', solver: 'by hand', variables });
    await writer.append({ f: [1, null], h: [2n, 3n] });
    await writer.commit();
    const [changes = ''] = readdirSync(file('store/results'));
    const stored = file(`store/results/${changes}/latest/rows-00000.arrow`);
    expect(await bench.ok('save', 'arrow/stored', stored)).toContain('2 rows');
    const { problem: before } = await client.getResult('stored');
    expect((await bench.client.getResult('arrow/stored')).problem).toEqual(before);
  });

  test.each([
    ['role.arrows', /No problem is given, and the schema does not say what "x" is.*--problem/],
    ['direction.arrows', /which way the objective "f" improves.*--problem/],
  ])('that %s does not tell is asked for, and nothing is left behind', async (name, message) => {
    const { code, stderr } = await bench.run('save', 'arrow/untold', file(name), '--upload-id', name);
    expect(stderr).toMatch(message);
    expect(code).toBe(1);
    expect(await bench.uploads()).not.toHaveProperty(name);
  });
});

describe('a batch', () => {
  /** Where each message of a stream ends. */
  function endsOf(bytes: Buffer): number[] {
    const ends: number[] = [];
    for (let at = 0; bytes.readUInt32LE(at + 4) !== 0;) {
      const metadataEnd = at + 8 + bytes.readUInt32LE(at + 4);
      at = metadataEnd + Message.decode(bytes.subarray(at + 8, metadataEnd)).bodyLength;
      ends.push(at);
    }
    return ends;
  }

  async function begin(running: Running, id: string, bytes: Buffer): Promise<number> {
    // Schema, dictionary, and one batch.
    const [, , cut = 0] = endsOf(bytes);
    running.print(bytes.subarray(0, cut));
    expect(await bench.durable(id, 10_000)).toMatchObject({ [id]: 10_000 });
    return cut;
  }

  test('is acked as soon as its last byte was written; in pieces of any size', async () => {
    const bytes = readFileSync(file('all.arrows'));
    await using running = save('arrow/live', '--problem', problem, '--upload-id', 'live');
    const cut = await begin(running, 'live', bytes);
    for (let at = cut; at < bytes.byteLength; at += 99_991) running.print(bytes.subarray(at, at + 99_991));
    running.closeInput();
    expect(await running.ended()).toMatchObject({ code: 0, stderr: '' });
    expectAll(await columnsOf('arrow/live'));
  });

  test('that a kill left half done is gone on with, each row once', async () => {
    const bytes = readFileSync(file('all.arrows'));
    await using first = save('arrow/killed', '--problem', problem, '--upload-id', 'killed');
    const cut = await begin(first, 'killed', bytes);
    first.print(bytes.subarray(cut, cut + 1_000_000));
    await first.stop('SIGKILL');
    // Cut into other batches, of another format: the rows count.
    const flags = ['--problem', problem, '--upload-id', 'killed'];
    expect(await bench.ok('save', 'arrow/killed', file('all.arrow'), ...flags)).toContain(`${ROWS} rows`);
    expectAll(await columnsOf('arrow/killed'));
  });

  test('that breaks off is an error, and the rows before are safe', async () => {
    const bytes = readFileSync(file('all.arrows'));
    await using running = save('arrow/broken', '--problem', problem, '--upload-id', 'broken');
    const cut = await begin(running, 'broken', bytes);
    running.print(bytes.subarray(cut, cut + 5_000));
    running.closeInput();
    const { code, stderr } = await running.ended();
    expect(stderr).toContain('breaks off in the middle of a batch');
    expect(stderr).toContain('10000 rows are safe. To go on: the same command with --upload-id broken');
    expect(code).toBe(1);
  });
});

describe('is refused, with what to do:', () => {
  const cases: [what: string, name: string, variable: [string, string], message: RegExp][] = [
    ['a type that does not fit', 'n_f64.arrows', ['n', 'INT64'], /"n" is Float64 .*the variable is INT64\. Cast it/],
    ['a type that nothing is', 'n_time.arrows', ['n', 'INT64'], /"n" is Timestamp.*the variable is INT64/],
    ['a number beyond int64', 'n_huge.arrows', ['n', 'INT64'], /Row 1 of "n" is 9223372036854775808/],
    ['an integer that no double is', 'x_inexact.arrows', ['x', 'FLOAT64'], /Row 1 of "x" is 9007199254740993/],
    ['a column too few', 'n_f64.arrows', ['m', 'FLOAT64'], /column "n", which the problem has not/],
    ['compression', 'compressed.feather', ['x', 'FLOAT64'], /is compressed.*compression="uncompressed"/],
    ['a stream behind a stream', 'twice.arrows', ['x', 'FLOAT64'], /Something follows behind the end/],
    ['a file without its end', 'cut.arrow', ['x', 'FLOAT64'], /breaks off/],
    ['what is no Arrow', 'text.arrow', ['x', 'FLOAT64'], /no Arrow IPC stream or file/],
    ['gzip', 'table.gz', ['x', 'FLOAT64'], /compressed by gzip.*gzip -dc/],
    ['what is no Parquet', 'table.parquet', ['x', 'FLOAT64'], /The Parquet file can not be read/],
  ];

  beforeAll(async () => {
    const one = readFileSync(file('role.arrows'));
    await writeFile(file('twice.arrows'), Buffer.concat([one, one]));
    await writeFile(file('cut.arrow'), readFileSync(file('all.arrow')).subarray(0, -20));
    await writeFile(file('text.arrow'), 'x\n1\n2\n3\n');
    await writeFile(file('table.gz'), Buffer.from([0x1f, 0x8b, 8, 0]));
    await writeFile(file('table.parquet'), 'PAR1....');
  });

  test.each(cases)('%s', async (what, name, variable, message) => {
    const path = name === 'cut.arrow' ? problem : await bench.folder.file('one.json', problemOf(variable));
    const { code, stdout, stderr } = await bench.run('save', `arrow/bad/${what}`, file(name), '--problem', path);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect([code, stdout]).toEqual([1, '']);
    expect(await bench.ok('list', 'arrow/bad')).toBe('');
  });
});

test('a loaded column is taken as it is, with what is missing', async () => {
  const { client } = bench;
  const { nothing, ...numbers } = await columnsOf('arrow/pipe');
  const sparse = Object.entries(numbers).filter(
    ([, { values }]) => values instanceof Float64Array || values instanceof BigInt64Array,
  );
  const variables = sparse.map(([, { variable }]) => variable);
  const writer = await client.save('arrow/again', { variables });
  await writer.append(
    Object.fromEntries(
      sparse.map(([name, { values, validity }]) => [name, { values: values as Float64Array, validity }]),
    ),
  );
  await writer.commit();
  const again = await columnsOf('arrow/again');
  for (const [name, column] of sparse) {
    expect(again[name]?.values).toEqual(column.values);
    expect(again[name]?.validity).toEqual(column.validity);
  }
  expect(nothing?.variable.valueType).toBe(ValueType.STRING);
  const short = { values: new Float64Array(9), validity: new Uint8Array(1) };
  const other = await client.save('arrow/short', { variables: variables.slice(1, 2) });
  await expect(other.append({ f64: short })).rejects.toThrow('the bitmap of "f64" has 1 bytes; 9 values need 2');
  await other.close();
});
