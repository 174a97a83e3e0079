import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { codeBlocks } from '../docs/code-blocks.js';
import { REQUIREMENTS } from '../python/package.js';
import { run as execute, virtualenv } from '../python/virtualenv.js';
import { MAIN } from '../rpc/wire.js';
import { Bench, csvOf, problemOf, Running } from './cli.js';

const PAGE = readFileSync('docs/clients/shell.md', 'utf8');
const SOLVER = 'examples/fortran/solver.f90';
const hasFortran = spawnSync('gfortran', ['--version']).error === undefined;

const blocks = (language: string) => codeBlocks(PAGE, language);

let bench: Bench;
let problem: string;

beforeAll(async () => {
  bench = await Bench.start();
  problem = await bench.folder.file('problem.json', {
    variables: problemOf(['x', 'FLOAT64'], ['f', 'FLOAT64'], ['converged', 'BOOL']).variables,
  });
});

afterAll(() => bench[Symbol.asyncDispose]());

test('the commands of docs/clients/shell.md do what it says', async () => {
  const [solver = ''] = blocks('python');
  await bench.folder.file('solver.py', solver);
  mkdirSync(bench.folder.at('bin'));
  symlinkSync(MAIN, bench.folder.at('bin/optistore'));
  const python = dirname(await virtualenv(REQUIREMENTS));
  const PATH = [bench.folder.at('bin'), python, dirname(process.execPath), process.env['PATH']].join(':');
  const script = await bench.folder.file('page.sh', blocks('sh').join('\n'));
  const surroundings = { cwd: bench.folder.path, env: { PATH, OPTISTORE_SERVER: bench.daemon.address } };
  await using running = Running.start(['-e', script], surroundings, 'sh');
  const { code, stdout, stderr } = await running.ended();
  expect(stdout.split('\n')).toEqual([
    'runs/awk: 100 rows, revision 1',
    'runs/ndjson: 3 rows, revision 1',
    'runs/arrow: 10000 rows, revision 1',
    'runs/half: 1 row, revision 1',
    'committed: the end of the pipe is all it sees',
    'half-1: aborted',
    '',
  ]);
  expect(stderr).toMatch(
    /^Line 3 has 1 cells; the first line names 3 columns\.\n1 row is safe\..*\n.*uploads abort half-1`\n$/,
  );
  expect(code).toBe(0);
  expect(await bench.ok('load', 'runs/ndjson')).toBe('x,f,converged\n1,1,\n2,4,\n3,9,\n');
});

describe('what Fortran prints', () => {
  /** By gfortran 12: list-directed, g0, es24.16, es24.16e3, d24.16 and l1. */
  const PRINTED = [
    ' x , f ,converged',
    '  0.10000000000000001     ,   9.9999999999999694E-311, T',
    '0.99999999999999694E-310,0.99999999999999992E+23,F',
    '  1.0000000000000001E-01,  9.9999999999999694-311,T',
    ' 1.0000000000000001E-001, 9.9999999999999694E-311,F',
    '  0.1000000000000000D+00,  0.9999999999999969-310, t',
    '+Infinity,-1.5d3,',
  ];

  test('is read as it is', async () => {
    const table = await bench.folder.file('fortran.csv', PRINTED.join('\n'));
    await bench.ok('save', 'fortran', table, '--problem', problem);
    expect(csvOf(await bench.ok('load', 'fortran')).slice(1)).toEqual([
      ['0.1', '1e-310', 'true'],
      ['1e-310', '1e+23', 'false'],
      ['0.1', '1e-310', 'true'],
      ['0.1', '1e-310', 'false'],
      ['0.1', '1e-310', 'true'],
      ['inf', '-1500', ''],
    ]);
  });

  test.each([
    ['stars', '********,1.0,T', 'Line 2: column "x" has "********" where a number was expected.'],
    ['a difference', '1.5-30,1.0,T', 'Line 2: column "x" has "1.5-30" where a number was expected.'],
    ['a date', '2026-101,1.0,T', 'Line 2: column "x" has "2026-101" where a number was expected.'],
    ['an exponent of nothing', '1.0D,1.0,T', 'Line 2: column "x" has "1.0D" where a number was expected.'],
  ])('is no number where it is %s', async (_, row, message) => {
    const table = await bench.folder.file('bad.csv', `x,f,converged\n${row}\n`);
    const { code, stderr } = await bench.run('save', 'fortran/bad', table, '--problem', problem);
    expect(stderr).toContain(message);
    expect(code).toBe(1);
  });

  test('docs/clients/shell.md has the very example', () => {
    expect(blocks('fortran')).toEqual([readFileSync(SOLVER, 'utf8')]);
  });

  const title = hasFortran ? '' : ' (skipped: there is no gfortran)';
  test.skipIf(!hasFortran)(`comes from the example, bit for bit${title}`, async () => {
    await execute('gfortran', [SOLVER, '-o', bench.folder.at('solver')]);
    const printed = await execute(bench.folder.at('solver'), []);
    await using saving = bench.start('save', 'fortran/example', '-', '--problem', problem);
    saving.print(printed.stdout);
    saving.closeInput();
    expect(await saving.ended()).toMatchObject({ code: 0, stderr: '' });
    const expected = Array.from({ length: 1000 }, (_, i) => {
      const x = i / 100 - 5;
      return [String(x), String(x ** 2), String(x ** 2 < 1)];
    });
    expect(csvOf(await bench.ok('load', 'fortran/example')).slice(1)).toEqual(expected);
  });
});
