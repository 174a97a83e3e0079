import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../clients/cli/daemon-process.js';
import { Bench, problemOf, run, type Ended } from './cli.js';

const PROBLEM = problemOf(['n', 'INT64'], ['x', 'FLOAT64']);
const CSV = 'n,x\n1,0.5\n2,\n3,1.5\n';

let bench: Bench;

beforeAll(async () => {
  bench = await Bench.start();
  await bench.save('runs/a', CSV, PROBLEM, '--tag', 'team=wing', '--tag', 'note=a=b', '--description', 'first try');
  await bench.save('runs/b', CSV, PROBLEM, '--tag', 'team=tail');
  await bench.save('other', CSV, PROBLEM);
});

afterAll(() => bench[Symbol.asyncDispose]());

/** Errors go to standard error, in words for people. */
function expectFailure({ code, stdout, stderr }: Ended, expected: number, message: RegExp): void {
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/^\s+at |node:/m);
  expect([code, stdout]).toEqual([expected, '']);
}

test.each([
  ['of a table', ['save', 'k', 'no/file.csv']],
  ['of a JSON table', ['save', 'k', 'no/file.json']],
  ['of a problem', ['save', 'k', 'IN', '--problem', 'no/file.json']],
  ['of an import', ['import', 'no/file']],
])('a file that is not there, %s, is told by its name', async (_, args) => {
  const table = await bench.folder.file('there.csv', CSV);
  const ended = await bench.run(...args.map((arg) => (arg === 'IN' ? table : arg)));
  expectFailure(ended, 1, /^no\/file\S* is not there\. Check the path \(in \/.*\)\.\n$/);
});

test('a folder to write to that is not there is told by its name', async () => {
  const file = bench.folder.at('nowhere/a.parquet');
  const ended = await bench.run('export', 'runs/a', '-o', file);
  expectFailure(ended, 1, /^The folder \S+\/nowhere is not there\. Make it first/);
});

test.each(['export', 'load'])(
  '%s to a name whose ending tells no format is refused, as wrong usage',
  async (command) => {
    const wrong = bench.folder.at('a.xyz');
    const ended = await bench.run(command, 'runs/a', '-o', wrong);
    expectFailure(ended, 2, /"\.xyz" tells no format: \.csv, .*\.parquet, \.pq were expected, or --format/);
    expect((await bench.run(command, 'runs/a', '-o', wrong, '--format', 'csv')).code).toBe(0);
  },
);

test('load --from a store that has it not says which one has', async () => {
  const { code, stderr } = await bench.run('load', 'runs/a', '--from', 'cache');
  expect([code, stderr]).toEqual([
    1,
    '"runs/a" is not in the cache; it is in the primary. [RESULT_NOT_FOUND]\n' +
      'It is taken from there without --from: `optistore load runs/a`\n',
  ]);
  const none = await bench.run('load', 'runs/none', '--from', 'cache');
  expect(none.stderr).toContain('Nothing is stored under "runs/none"');
});

test('load --from a store that has it not says which one has, also while it is saved anew', async () => {
  await bench.client.save('runs/b', { variables: [] }, { uploadId: 'anew' });
  const { stderr } = await bench.run('load', 'runs/b', '--from', 'cache');
  await bench.client.abortUpload('anew');
  expect(stderr).toContain('"runs/b" is not in the cache; it is in the primary.');
});

test('what there is one of is told as one', async () => {
  const table = await bench.folder.file('single.csv', 'n,x\n1,2\n');
  const problem = await bench.folder.file('single.problem.json', PROBLEM);
  expect(await bench.ok('save', 'single/a', table, '--problem', problem)).toBe('single/a: 1 row, revision 1\n');
  expect(await bench.ok('delete', '--prefix', 'single/', '--yes')).toBe('1 result deleted\n');
});

test.each([
  [['list', 'nosuch/'], 'No results.'],
  [['uploads'], 'No saves in progress.'],
])('%j that finds nothing says so on a terminal, and is silent in a pipe', async (args, text) => {
  await using listing = bench.inTerminal(80, ...args);
  const { code, stdout } = await listing.ended();
  expect([code, stdout.replace(/^pid .*\r\n/, '')]).toEqual([0, `${text}\r\n`]);
  expect(await bench.ok(...args)).toBe('');
});

describe('list', () => {
  const keys = (text: string) => text.split('\n').flatMap((line) => line.split('\t')[0] || []);

  test('names each result with its rows and revision, a line each', async () => {
    const text = await bench.ok('list');
    expect(keys(text)).toEqual(['other', 'runs/a', 'runs/b']);
    expect(text).toMatch(/^runs\/a\t3 rows\t.*\trevision 1\t\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/m);
  });

  test('takes a prefix, tags and an order', async () => {
    expect(keys(await bench.ok('list', 'runs/'))).toEqual(['runs/a', 'runs/b']);
    expect(keys(await bench.ok('list', '--tag', 'team=wing'))).toEqual(['runs/a']);
    expect(keys(await bench.ok('list', '--tag', 'team=wing', '--tag', 'note=a=b'))).toEqual(['runs/a']);
    expect(keys(await bench.ok('list', '--tag', 'team=wing', '--tag', 'note=c'))).toEqual([]);
    expect(keys(await bench.ok('list', '--order-by', 'key desc'))).toEqual(['runs/b', 'runs/a', 'other']);
    expect(keys(await bench.ok('list', '--order-by', 'commit_time'))).toEqual(['runs/a', 'runs/b', 'other']);
  });

  test('prints protobuf JSON with --json, also of nothing', async () => {
    expect(await bench.json('list', 'runs/')).toMatchObject({
      results: [
        { key: 'runs/a', revision: '1', rowCount: '3', tags: { team: 'wing', note: 'a=b' }, description: 'first try' },
        { key: 'runs/b', tags: { team: 'tail' } },
      ],
    });
    expect(await bench.json('list', 'none/')).toEqual({ results: [] });
    expect(await bench.ok('list', 'none/')).toBe('');
  });
});

describe('show', () => {
  test('tells rows, revision, tags and the range of each column', async () => {
    const text = await bench.ok('show', 'runs/a');
    expect(text).toMatch(/^runs\/a {2}revision 1, 3 rows/);
    expect(text).toContain('tag: team=wing\n');
    expect(text).toContain('tag: note=a=b\n');
    expect(text).toMatch(/^ {2}n\tobservable\tint64\t.*1 … 3/m);
    expect(text).toMatch(/^ {2}x\tobservable\tfloat64\t.*0\.5 … 1\.5\t1 missing$/m);
  });

  test('tells how it ended, directions, what is allowed, and the best', async () => {
    const f64 = { valueType: 'VALUE_TYPE_FLOAT64' };
    const problem = {
      variables: [
        { name: 'x', role: 'VARIABLE_ROLE_DESIGN_VARIABLE', lowerBound: 0, upperBound: 5, ...f64 },
        { name: 'f', role: 'VARIABLE_ROLE_OBJECTIVE', direction: 'DIRECTION_MAXIMIZE', ...f64 },
        { name: 'g', role: 'VARIABLE_ROLE_INEQUALITY_CONSTRAINT', ...f64 },
        { name: 'h', role: 'VARIABLE_ROLE_EQUALITY_CONSTRAINT', target: 2, ...f64 },
      ],
    };
    await bench.save('ended', 'x,f,g,h\n1,10,-1,2\n2,20,1,2\n', problem, '--description', 'one of two breaks g');
    const lines = (await bench.ok('show', 'ended')).split('\n');
    expect(lines).toContain('outcome: finished');
    expect(lines).toContain('description: one of two breaks g');
    expect(lines.slice(-5, -1)).toEqual([
      '  x\tdesign variable\tfloat64\t\t1 … 2\tallowed from 0 to 5',
      '  f\tobjective, maximized\tfloat64\t\t10 … 20\tbest 10',
      '  g\tinequality constraint\tfloat64\t\t-1 … 1\tholds to 0',
      '  h\tequality constraint\tfloat64\t\t2 … 2\tholds at 2 ± 0.000001',
    ]);
  });

  test('prints protobuf JSON with --json', async () => {
    expect(await bench.json('show', 'runs/a')).toMatchObject({
      key: 'runs/a',
      revision: '1',
      problem: PROBLEM,
      rowCount: '3',
      state: 'RESULT_STATE_COMMITTED',
      outcome: 'OUTCOME_FINISHED',
      columns: [
        { name: 'n', min: 1, max: 3 },
        { name: 'x', min: 0.5, max: 1.5, missingCount: '1' },
      ],
    });
  });
});

describe('save and delete', () => {
  test('tell what they made', async () => {
    expect(await bench.save('brief', CSV, PROBLEM)).toBe('brief: 3 rows, revision 1\n');
    expect(await bench.save('brief', CSV, PROBLEM)).toBe('brief: 3 rows, revision 2\n');
    expect(await bench.ok('delete', 'brief')).toBe('brief: deleted, revision 3\n');
    expectFailure(await bench.run('show', 'brief'), 1, /"brief".*RESULT_NOT_FOUND/);
    expectFailure(await bench.run('delete', 'brief'), 1, /"brief".*RESULT_NOT_FOUND/);
  });

  test('do nothing where the revision is not the one expected', async () => {
    const table = await bench.folder.file('revised.csv', CSV);
    const problem = await bench.folder.file('revised.json', PROBLEM);
    const save = (expected: string) =>
      bench.run('save', 'revised', table, '--problem', problem, '--expected-revision', expected);
    expect(await save('0')).toMatchObject({ code: 0 });
    expectFailure(await save('0'), 1, /REVISION_MISMATCH/);
    expectFailure(await bench.run('delete', 'revised', '--expected-revision', '7'), 1, /REVISION_MISMATCH/);
    expect(await bench.json('show', 'revised')).toMatchObject({ revision: '1' });
    expect(await bench.ok('delete', 'revised', '--expected-revision', '1')).toContain('revision 2');
  });

  test('a save under the id of a committed one gives the same result again', async () => {
    expect(await bench.save('again', CSV, PROBLEM, '--upload-id', 'again-1')).toBe('again: 3 rows, revision 1\n');
    const [table, problem] = [bench.folder.at('in.csv'), bench.folder.at('problem.json')];
    const again = await bench.run('save', 'again', table, '--problem', problem, '--upload-id', 'again-1');
    expect(again).toMatchObject({ code: 0, stdout: 'again: 3 rows, revision 1\n' });
  });

  test.each([
    ['a table', ['missing.csv', '--problem', 'PROBLEM'], /missing\.csv/],
    ['a table in JSON', ['missing.json'], /missing\.json/],
    ['a problem', ['TABLE', '--problem', 'missing.json'], /missing\.json/],
  ])('%s that is not there is an error that names the file, and begins no upload', async (_, args, message) => {
    const before = await bench.uploads();
    const table = await bench.folder.file('table.csv', CSV);
    const problem = await bench.folder.file('there.json', PROBLEM);
    const paths = args.map((arg) => (arg === 'TABLE' ? table : arg === 'PROBLEM' ? problem : arg));
    expectFailure(await bench.run('save', 'missing', ...paths), 1, message);
    expect(await bench.uploads()).toEqual(before);
  });

  test('a problem with a mistake is an error that names the mistake', async () => {
    const table = await bench.folder.file('table.csv', CSV);
    const refused = async (problem: object | string) =>
      bench.run('save', 'mistaken', table, '--problem', await bench.folder.file('mistaken.json', problem));
    expectFailure(await refused('{"name": '), 1, /mistaken\.json is not a problem.*JSON/);
    expectFailure(await refused({ ...PROBLEM, solvr: 'x' }), 1, /mistaken\.json.*"solvr".*name, description, solver/);
    expectFailure(
      await refused(problemOf(['x', 'FLOAT64'], ['n', 'FLOAT'])),
      1,
      /mistaken\.json.*"valueType" of variable "n" is "VALUE_TYPE_FLOAT", where one of .*: VALUE_TYPE_FLOAT64, /,
    );
    expectFailure(
      await refused({ variables: [{ name: 'n', lower: 1 }] }),
      1,
      /Variable "n" has "lower", .*lowerBound, .*docs\/problem\.md/,
    );
    expectFailure(await refused(problemOf(['n', 'INT64'], ['n', 'INT64'])), 1, /"n".*PROBLEM_INVALID/);
  });

  test('a table of CSV without a problem is an error that says what to give', async () => {
    const { code, stderr } = await bench.run('save', 'unproblematic', await bench.folder.file('table.csv', CSV));
    expect(stderr).toContain('--problem');
    expect(code).not.toBe(0);
  });
});

describe('status', () => {
  test('tells version, store and counts', async () => {
    const text = await bench.ok('status');
    expect(text).toMatch(/^optistore \d+\.\d+\.\d+, since \d{4}-/);
    expect(text).toMatch(/primary: leveldb, ready, \d+ results/);
    expect(text).toMatch(/\d+ uploads? in progress/);
  });

  test('prints protobuf JSON with --json', async () => {
    expect(await bench.json('status')).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
      backends: [
        { role: 'BACKEND_PRIMARY', type: 'leveldb', state: 'BACKEND_STATE_READY' },
        { role: 'BACKEND_CACHE', type: 'memory', state: 'BACKEND_STATE_READY' },
      ],
    });
  });
});

describe('wrong usage ends with 2, and says what is wrong', () => {
  test.each([
    ['no command', [], /Usage: optistore/],
    ['a command that is not there', ['lod', 'k'], /unknown command 'lod'/],
    ['no key', ['show'], /missing required argument 'key'/],
    ['no file', ['save', 'k'], /missing required argument 'file'/],
    ['an argument too many', ['show', 'k', 'l'], /too many arguments/],
    ['a flag that is not there', ['list', '--color'], /unknown option '--color'/],
    ['a flag without its value', ['load', 'k', '--rows'], /--rows/],
    ['a range that is none', ['load', 'k', '--rows', '5'], /--rows.*FIRST:END was expected/],
    ['a range of negative rows', ['load', 'k', '--rows', '-5:2'], /--rows/],
    ['a tag without a value', ['list', '--tag', 'team'], /--tag.*name=value was expected/],
    ['a tag without a name', ['list', '--tag', '=wing'], /--tag.*name=value was expected/],
    ['a revision that is none', ['load', 'k', '--revision', 'x'], /--revision.*revision number was expected/],
    ['an expected revision that is none', ['delete', 'k', '--expected-revision', '-1'], /--expected-revision/],
  ])('%s', async (_, args, message) => {
    expectFailure(await run(args), 2, message);
  });

  test('help is no mistake', async () => {
    for (const args of [['--help'], ['help'], ['save', '--help']]) {
      expect(await run(args)).toMatchObject({
        code: 0,
        stderr: '',
        stdout: expect.stringContaining('Usage:') as string,
      });
    }
  });
});

describe('what the daemon refuses ends with 1, and names the reason', () => {
  test.each([
    ['a key that is not there', ['show', 'none'], /"none".*RESULT_NOT_FOUND/],
    ['a key that is none', ['show', 'a/../b'], /"a\/\.\.\/b".*KEY_INVALID/],
    ['a revision that is not there', ['load', 'other', '--revision', '9'], /9.*REVISION_NOT_FOUND/],
    ['an order that is none', ['list', '--order-by', 'size'], /"size".*key.*commit_time.*REQUEST_INVALID/],
    ['an upload that is not there', ['uploads', 'abort', 'gone'], /gone.*UPLOAD_NOT_FOUND/],
  ])('%s', async (_, args, message) => {
    // By the variable, since the flag after `uploads abort` has a test of its own.
    expectFailure(await run(args, { env: { OPTISTORE_SERVER: bench.daemon.address } }), 1, message);
  });
});

describe('which daemon', () => {
  const nowhere = async () => `127.0.0.1:${await freePort()}`;

  test('OPTISTORE_SERVER names it, and --server beats it', async () => {
    const live = bench.daemon.address;
    const dead = await nowhere();
    expect(await run(['list'], { env: { OPTISTORE_SERVER: live } })).toMatchObject({ code: 0 });
    expect(await run(['list', '--server', live], { env: { OPTISTORE_SERVER: dead } })).toMatchObject({ code: 0 });
    expectFailure(await run(['list', '--server', dead], { env: { OPTISTORE_SERVER: live } }), 1, new RegExp(dead));
  });

  test('uploads abort takes --server, as every command does', async () => {
    const dead = await nowhere();
    expectFailure(await run(['uploads', 'abort', 'gone', '--server', dead]), 1, new RegExp(dead));
  });

  test.each([['list'], ['show', 'k'], ['load', 'k'], ['delete', 'k'], ['uploads'], ['status'], ['save', 'k', '-']])(
    'none there: %s says where it looked and how to start one',
    async (...args) => {
      const dead = await nowhere();
      const problem = args[0] === 'save' ? ['--problem', await bench.folder.file('problem.json', PROBLEM)] : [];
      const ended = await run([...args, ...problem, '--server', dead]);
      expectFailure(
        ended,
        1,
        new RegExp(`No daemon answers at ${dead} \\(ECONNREFUSED\\)\\..*optistore serve.*--server.*OPTISTORE_SERVER`),
      );
    },
  );
});
