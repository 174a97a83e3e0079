import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench, bitsOf, csvOf, doubleOf, problemOf } from './cli.js';

let bench: Bench;

beforeAll(async () => {
  bench = await Bench.start();
});

afterAll(() => bench[Symbol.asyncDispose]());

const MIXED = problemOf(['x', 'FLOAT64'], ['n', 'INT64'], ['ok', 'BOOL'], ['label', 'STRING']);
const PAIR = problemOf(['x', 'FLOAT64'], ['y', 'FLOAT64']);

let count = 0;
const fresh = () => `round/${count++}`;

/** Saves CSV, loads it to a file of CSV; gives the rows without the head. */
async function through(csv: string, problem: object): Promise<string[][]> {
  const key = fresh();
  await bench.save(key, csv, problem);
  await bench.ok('load', key, '-o', bench.folder.at('out.csv'));
  return csvOf(await bench.folder.read('out.csv')).slice(1);
}

interface Table {
  readonly problem: object;
  readonly columns: Readonly<Record<string, unknown[]>>;
}

async function loadJson(key: string, ...flags: string[]): Promise<Table> {
  await bench.ok('load', key, '-o', bench.folder.at('out.json'), ...flags);
  return JSON.parse(await bench.folder.read('out.json')) as Table;
}

const fromBits = fc
  .bigInt({ min: 0n, max: 2n ** 64n - 1n })
  .map((bits) => new Float64Array(BigUint64Array.of(bits).buffer)[0] ?? 0);
const subnormal = fc.bigInt({ min: 1n, max: 2n ** 52n - 1n }).map((bits) => {
  return new Float64Array(BigUint64Array.of(bits).buffer)[0] ?? 0;
});
const special = fc.constantFrom(0, -0, NaN, Infinity, -Infinity, Number.MIN_VALUE, -Number.MIN_VALUE, Number.MAX_VALUE);
const anyDouble = fc.oneof(fromBits, fc.double(), subnormal, special);

/** As a solver in C prints it: `%.16e`, 17 significant digits. */
const digits17 = (value: number) =>
  Object.is(value, -0) ? '-0.0000000000000000e+0' : Number.isFinite(value) ? value.toExponential(16) : String(value);

// A run takes seconds, so that a failure is told at once, not made smaller.
const runs = (numRuns: number) => ({ numRuns, endOnFailure: true });

describe('doubles', () => {
  test('come back bit for bit, whether 17 digits or the shortest went in', { timeout: 120_000 }, async () => {
    const values = fc.array(anyDouble, { minLength: 300, maxLength: 600 });
    await fc.assert(
      fc.asyncProperty(values, async (doubles) => {
        const lines = doubles.map((value) => `${digits17(value)},${Object.is(value, -0) ? '-0' : value}\n`);
        const rows = await through(
          `long,short\n${lines.join('')}`,
          problemOf(['long', 'FLOAT64'], ['short', 'FLOAT64']),
        );
        const bits = doubles.map(bitsOf);
        expect(rows.map(([long]) => bitsOf(doubleOf(long)))).toEqual(bits);
        expect(rows.map(([, short]) => bitsOf(doubleOf(short)))).toEqual(bits);
      }),
      runs(2),
    );
  });

  test('have at most 17 significant digits', async () => {
    const rows = await through(
      `x\n0.1\n${1 / 3}\n${2 ** 53}\n5e-324\n1.7976931348623157e308\n`,
      problemOf(['x', 'FLOAT64']),
    );
    expect(rows.flat()).toEqual(['0.1', '0.3333333333333333', '9007199254740992', '5e-324', '1.7976931348623157e+308']);
  });

  test('are read as C, Python and Fortran print them', async () => {
    const forms: [string, number][] = [
      ['NaN', NaN],
      ['nan', NaN],
      ['inf', Infinity],
      ['+Inf', Infinity],
      ['-Infinity', -Infinity],
      ['-0', -0],
      ['-0.0', -0],
      ['1e-320', 1e-320],
      ['.5', 0.5],
      ['5.', 5],
      ['+1E+3', 1000],
      ['1.0E+00', 1],
      [' 2.5 ', 2.5],
    ];
    const rows = await through(`x,y\n${forms.map(([text]) => `${text},0\n`).join('')}`, PAIR);
    expect(rows.map(([x]) => doubleOf(x))).toEqual(forms.map(([, value]) => value));
  });

  test.each(['one', '0x10', '1,5', '1_000', 'constructor', '-constructor'])(
    '%s is refused, with its line and column',
    async (text) => {
      const table = await bench.folder.file('bad.csv', `x,y\n1,1\n"${text}",2\n`);
      const problem = await bench.folder.file('problem.json', PAIR);
      const { code, stdout, stderr } = await bench.run('save', fresh(), table, '--problem', problem);
      expect(stderr).toContain(`Line 3: column "x" has ${JSON.stringify(text)} where a number was expected.`);
      expect([code, stdout]).toEqual([1, '']);
    },
  );
});

describe('cells of CSV', () => {
  test('empty ones are missing, and a quoted empty text is a text', async () => {
    const key = fresh();
    await bench.save(key, 'x,n,ok,label\n,,,\n0,0,false,""\n1,1,true,a\n', MIXED);
    expect(await bench.ok('load', key)).toBe('x,n,ok,label\n,,,\n0,0,false,""\n1,1,true,a\n');
    expect((await loadJson(key)).columns).toEqual({
      x: [null, 0, 1],
      n: [null, 0, 1],
      ok: [null, false, true],
      label: [null, '', 'a'],
    });
  });

  test('a table of one column keeps its missing values', async () => {
    const key = fresh();
    await bench.save(key, 'label\n\na\n""\n\n', problemOf(['label', 'STRING']));
    expect((await loadJson(key)).columns).toEqual({ label: [null, 'a', '', null] });
    expect(await bench.ok('load', key)).toBe('label\n\na\n""\n\n');
  });

  test('texts keep quotes, commas, newlines, spaces and every script', async () => {
    const texts = ['say "hi"', 'a,b', 'two\nlines', 'cr\rhere', 'both\r\n', ' edges ', '\ttab', '"', "''", 'größe µ', '設計', '🚀👩‍🔬', 'e\u0301', '\u00e9', 'NaN', 'null', 'true', '007', '#note', '=1+1', '\\n']; // prettier-ignore
    const csv = texts.map((text) => `"${text.replaceAll('"', '""')}",1\n`).join('');
    const rows = await through(`label,n\n${csv}`, problemOf(['label', 'STRING'], ['n', 'INT64']));
    expect(rows.map(([label]) => label)).toEqual(texts);
  });

  test('integers of 64 bits are exact', async () => {
    const integers = [2n ** 53n + 1n, -(2n ** 53n) - 1n, 2n ** 63n - 1n, -(2n ** 63n), 0n, -1n].map(String);
    const rows = await through(`n\n${integers.join('\n')}\n`, problemOf(['n', 'INT64']));
    expect(rows.flat()).toEqual(integers);
  });

  test('booleans are true and false, also as Python or C print them', async () => {
    const rows = await through('ok\ntrue\nFalse\nTRUE\n0\n1\n', problemOf(['ok', 'BOOL']));
    expect(rows.flat()).toEqual(['true', 'false', 'true', 'false', 'true']);
  });

  test.each([
    ['INT64', '1.5', 'an integer of 64 bits'],
    ['INT64', '9223372036854775808', 'an integer of 64 bits'],
    ['BOOL', 'yes', 'true or false'],
    ['BOOL', 'constructor', 'true or false'],
  ])('a column of %s refuses %s', async (type, text, expected) => {
    const table = await bench.folder.file('bad.csv', `v,w\n${text},\n`);
    const problem = await bench.folder.file('problem.json', problemOf(['v', type], ['w', type]));
    const { code, stderr } = await bench.run('save', fresh(), table, '--problem', problem);
    expect(stderr).toContain(`Line 2: column "v" has "${text}" where ${expected} was expected.`);
    expect(code).toBe(1);
  });

  test('a text that is too long is refused, with its column and the limit, and without a stack', async () => {
    const table = await bench.folder.file('bad.csv', `label,n\na,1\n${'b'.repeat(65_537)},2\n`);
    const problem = await bench.folder.file('problem.json', problemOf(['label', 'STRING'], ['n', 'INT64']));
    const { code, stderr } = await bench.run('save', fresh(), table, '--problem', problem);
    expect(stderr).toMatch(/label.*65537 bytes.*65536/);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
  });

  test('lines may end with CRLF, and the file may begin with a byte order mark', async () => {
    const rows = await through(
      '\ufeffn,label\r\n1,a\r\n2,"b\r\nc"\r\n',
      problemOf(['n', 'INT64'], ['label', 'STRING']),
    );
    expect(rows).toEqual([
      ['1', 'a'],
      ['2', 'b\r\nc'],
    ]);
  });
});

describe('columns of CSV', () => {
  test('may come in any order, and go out in the order of the problem', async () => {
    const key = fresh();
    await bench.save(key, 'label,ok,x,n\na,true,0.5,7\n', MIXED);
    expect(await bench.ok('load', key)).toBe('x,n,ok,label\n0.5,7,true,a\n');
  });

  test.each([
    ['with commas, quotes and Unicode', ['a,b', 'say "x"', 'Größe', '設計', '__proto__', 'constructor']],
    ['that look like numbers', ['10', '2', 'x', '0']],
    ['with spaces at the edges', [' a', 'b ', 'c d']],
  ])('keep their values under names %s', async (_, names) => {
    const key = fresh();
    const head = names.map((name) => `"${name.replaceAll('"', '""')}"`).join(',');
    const values = names.map((_name, i) => String(i));
    await bench.save(
      key,
      `${head}\n${values.join(',')}\n`,
      problemOf(...names.map((name) => [name, 'FLOAT64'] as const)),
    );
    expect(csvOf(await bench.ok('load', key))).toEqual([names, values]);
    // JSON.parse keeps `__proto__` as a name like any other; entries tell it apart from a prototype.
    const { columns } = await loadJson(key);
    expect(new Map(Object.entries(columns))).toEqual(new Map(names.map((name, i) => [name, [i]])));
  });

  test.each([
    ['a column that the problem has not', 'x,n,ok,label,more\n1,1,true,a,1\n', /"more".*VARIABLE_ROLE_OBSERVABLE/],
    ['a column too few', 'x,n,ok\n1,1,true\n', /no column "label"/],
    ['a column twice', 'x,n,ok,label,x\n1,1,true,a,1\n', /twice/],
    ['a row that is too short', 'x,n,ok,label\n1,1,true,a\n1,1\n', /line 3/i],
    ['a quote that does not end', 'x,n,ok,label\n1,1,true,"a\n', /line 2/i],
    ['nothing in the file', '', /empty/],
  ])('%s is an error that says so', async (_, csv, message) => {
    const table = await bench.folder.file('bad.csv', csv);
    const problem = await bench.folder.file('problem.json', MIXED);
    const { code, stdout, stderr } = await bench.run('save', fresh(), table, '--problem', problem);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect([code, stdout]).toEqual([1, '']);
  });
});

test(
  'whatever a table holds, JSON and CSV tell the same, and both can be saved again',
  { timeout: 120_000 },
  async () => {
    const row = fc.record({
      x: fc.option(anyDouble),
      n: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
      ok: fc.option(fc.boolean()),
      label: fc.option(fc.string({ unit: 'binary', maxLength: 12 })),
    });
    const cell = (value: number | bigint | boolean | string | null) => {
      if (value === null) return '';
      if (typeof value === 'string') return `"${value.replaceAll('"', '""')}"`;
      return typeof value === 'number' ? digits17(value) : String(value);
    };
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 60, maxLength: 150 }), async (rows) => {
        const csv = rows.map(({ x, n, ok, label }) => `${[x, n, ok, label].map(cell).join(',')}\n`).join('');
        const [first, second, third] = [fresh(), fresh(), fresh()];
        await bench.save(first, `x,n,ok,label\n${csv}`, MIXED);
        const { columns } = await loadJson(first);
        const doubles = columns['x']?.map((value) => (value === null ? null : bitsOf(Number(value))));
        expect(doubles).toEqual(rows.map(({ x }) => (x === null ? null : bitsOf(x))));
        expect(columns['n']?.map((value) => (value === null ? null : BigInt(value as string)))).toEqual(
          rows.map(({ n }) => n),
        );
        expect(columns['ok']).toEqual(rows.map(({ ok }) => ok));
        expect(columns['label']).toEqual(rows.map(({ label }) => label));
        await bench.ok('save', second, bench.folder.at('out.json'));
        const loaded = await bench.ok('load', second);
        await bench.save(third, loaded, MIXED);
        expect(await bench.ok('load', third)).toBe(loaded);
        expect(await bench.ok('load', first)).toBe(loaded);
      }),
      runs(2),
    );
  },
);
