import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench, problemOf } from './cli.js';

let bench: Bench;
let mixed: string;

beforeAll(async () => {
  bench = await Bench.start();
  const problem = problemOf(['x', 'FLOAT64'], ['n', 'INT64'], ['ok', 'BOOL'], ['label', 'STRING']);
  mixed = await bench.folder.file('problem.json', problem);
});

afterAll(() => bench[Symbol.asyncDispose]());

const start = (id: string, ...flags: string[]) =>
  bench.start('save', `ndjson/${id}`, '-', '--problem', mixed, '--upload-id', id, ...flags);

async function printed(id: string, text: string, ...flags: string[]) {
  await using running = start(id, ...flags);
  running.print(text);
  running.closeInput();
  return await running.ended();
}

const rows = (first: number, end: number) =>
  Array.from({ length: end - first }, (_, i) => `{"n": ${first + i}, "label": "r${first + i}"}\n`).join('');
const asCsv = (end: number) => `x,n,ok,label\n${Array.from({ length: end }, (_, i) => `,${i},,r${i}\n`).join('')}`;

describe('NDJSON, an object a line,', () => {
  const LINES = [
    '{"x": 0.1, "n": 1, "ok": true, "label": "a"}',
    '{"label": null, "n": 9223372036854775807}',
    '  {"n": "-9007199254740993", "x": "NaN", "label": ""}\r',
    '',
    '{"n": -9007199254740993, "x": 12345678901234567890, "label": "NaN 12345678901234567890 \\" Infinity"}',
    '{"x": NaN, "ok": false}',
    '{"x": -Infinity, "label": "größe 🚀\\ntwo"}',
    '{"x": "Infinity", "n": 1e3}',
    '{"x": -0.0}',
    '{}',
  ];
  const CSV = [
    'x,n,ok,label',
    '0.1,1,true,a',
    ',9223372036854775807,,',
    'NaN,-9007199254740993,,""',
    '12345678901234567000,-9007199254740993,,"NaN 12345678901234567890 "" Infinity"',
    'NaN,,false,',
    '-inf,,,"größe 🚀\ntwo"',
    'inf,1000,,',
    '-0,,,',
    ',,,',
    '',
  ].join('\n');

  test('comes from a pipe: every type, exact integers, NaN as Python prints it; what is not there is missing', async () => {
    // The last line needs no end: an object says itself where it ends.
    const ended = await printed('types', LINES.join('\n'));
    expect(ended).toEqual({ code: 0, stdout: 'ndjson/types: 9 rows, revision 1\n', stderr: '' });
    expect(await bench.ok('load', 'ndjson/types')).toBe(CSV);
  });

  test.each(['in.ndjson', 'in.jsonl', 'in.rows'])('comes from the file %s', async (name) => {
    const file = await bench.folder.file(name, LINES.join('\n'));
    await bench.ok('save', `ndjson/${name}`, file, '--problem', mixed);
    expect(await bench.ok('load', `ndjson/${name}`)).toBe(CSV);
  });

  test('is acked row by row while the solver runs, and goes on after a kill, each row once', async () => {
    await using first = start('killed');
    first.print(rows(0, 1));
    expect(await bench.durable('killed', 1)).toMatchObject({ killed: 1 });
    // A line that is not whole yet waits.
    first.print(`${rows(1, 1500)}{"n": 1500, "la`);
    expect(await bench.durable('killed', 1500)).toMatchObject({ killed: 1500 });
    await first.stop('SIGKILL');
    const ended = await printed('killed', rows(0, 2000));
    expect(ended).toEqual({ code: 0, stdout: 'ndjson/killed: 2000 rows, revision 1\n', stderr: '' });
    expect(await bench.ok('load', 'ndjson/killed')).toBe(asCsv(2000));
  });

  test('with --format may be empty', async () => {
    expect(await printed('empty', '', '--format', 'ndjson')).toMatchObject({ code: 0, stderr: '' });
    expect(await bench.ok('load', 'ndjson/empty')).toBe('x,n,ok,label\n');
  });

  test.each([
    ['breaks off', '{"n": 2, "la', 'Line 3 is the last one and breaks off'],
    [
      'a name that the problem has not',
      '{"n": 2, "lable": "b"}\n{"n": 3}\n',
      'Line 3 has "lable", which the problem has not',
    ],
    ['a text for a number', '{"n": "many"}\n', 'Line 3 of "n" is "many"; the variable is INT64'],
    ['an integer beyond 64 bits', '{"n": 9223372036854775808}\n', 'Line 3 of "n" is "9223372036854775808"'],
    ['a number for a text', '{"label": 12345678901234567890}\n', 'Line 3 of "label" is "12345678901234567890"'],
    ['no object', '[1]\n', 'Line 3 is no object; one such as {"x": 1, "note": null} was expected'],
    ['no JSON', '{"n": 2,}\n', 'Line 3 is not JSON: '],
  ])('a wrong line (%s) is an error that says which, and the rows before are safe', async (what, wrong, message) => {
    const id = what.replaceAll(' ', '-');
    const { code, stdout, stderr } = await printed(id, `${rows(0, 2)}${wrong}`);
    expect(stderr).toContain(message);
    expect(stderr).toContain(`2 rows are safe. To go on: the same command with --upload-id ${id}`);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect([code, stdout]).toEqual([1, '']);
  });

  test('a table as JSON that comes from a pipe is told from it', async () => {
    const { code, stderr } = await printed('table', '{\n  "problem": {}\n}\n');
    expect(stderr).toContain('a whole table as JSON is read from a file whose name ends in .json');
    expect(code).toBe(1);
  });

  test('--format knows what it knows', async () => {
    const { code, stderr } = await printed('xml', '', '--format', 'xml');
    expect(stderr).toContain('csv, ndjson, arrow or parquet was expected');
    expect(code).toBe(2);
  });
});
