import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cellsOf } from '../../clients/cli/terminal/fit.js';
import { axisOver } from '../../clients/cli/plot/ticks.js';
import { MAIN } from '../rpc/wire.js';
import { Bench, run, Running, until } from './cli.js';

const objective = (name: string, direction = 'MINIMIZE', unit = '') => ({
  ...{
    name,
    role: 'VARIABLE_ROLE_OBJECTIVE',
    valueType: 'VALUE_TYPE_FLOAT64',
    direction: `DIRECTION_${direction}`,
    unit,
  },
});
const TWO = {
  variables: [
    objective('f1', 'MINIMIZE', 'in'),
    objective('f2', 'MAXIMIZE'),
    { name: 'g', role: 'VARIABLE_ROLE_INEQUALITY_CONSTRAINT', valueType: 'VALUE_TYPE_FLOAT64' },
    { name: 'note', role: 'VARIABLE_ROLE_OBSERVABLE', valueType: 'VALUE_TYPE_STRING' },
  ],
};
/** On the front, dominated, infeasible, and one that is missing. */
const ROWS = 'f1,f2,g,note\n0,0,-1,a\n10,10,0,b\n5,2,0,c\n2,9,1,d\n,1,0,e\nNaN,1,0,f\n6,1,0,g\n';

let bench: Bench;

beforeAll(async () => {
  bench = await Bench.start();
  await bench.save('two', ROWS, TWO);
  await bench.save('one', 'f\n3\n2\n5\n1\n', { variables: [objective('f')] });
});

afterAll(() => bench[Symbol.asyncDispose]());

describe('optistore plot', () => {
  test('draws the first two objectives with axes, units and directions, and tells kinds apart without colour', async () => {
    const text = await bench.ok('plot', 'two', '--width', '60', '--height', '20');
    const lines = text.trimEnd().split('\n');
    expect(lines[0]).toBe('two: 7 rows');
    expect(lines[1]).toBe('f2 ↑ max');
    expect(text).toMatch(/^ +f1 \[in\] ↓ min$/m);
    expect(text).toMatch(/^10 ┤.*●$/m);
    expect(text).toMatch(/^ *0 ┤●/m);
    expect(text).toContain('×');
    // Rows without a value are not drawn, and not counted.
    expect(lines.at(-1)).toMatch(/^× infeasible 1 {2}⠶ dominated 3 {2}● Pareto front 3$/);
    for (const label of ['2', '4', '6', '8', '10']) expect(text).toMatch(new RegExp(` ${label}( |$)`, 'm'));
  });

  test.each([30, 40, 80, 200])('is never wider than %i columns', async (width) => {
    const text = await bench.ok('plot', 'two', '--width', String(width), '--height', '14');
    const lines = text.trimEnd().split('\n');
    for (const line of lines.slice(0, -1)) expect(cellsOf(line)).toBeLessThanOrEqual(width);
    expect(lines.length).toBeLessThanOrEqual(16);
  });

  test('is plain ASCII where the locale is not UTF-8, or it is told so', async () => {
    // eslint-disable-next-line no-control-regex
    const ascii = /^[\x00-\x7f]+$/;
    expect(await bench.ok('plot', 'two', '--ascii')).toMatch(ascii);
    const env = { LC_ALL: 'C', OPTISTORE_SERVER: bench.daemon.address };
    expect((await run(['plot', 'two'], { env })).stdout).toMatch(ascii);
    expect((await run(['plot', 'two'], { env: { ...env, LC_ALL: 'C.UTF-8' } })).stdout).not.toMatch(ascii);
  });

  test('draws how one objective got better, and of several the hypervolume', async () => {
    const best = (await bench.json('plot', 'one')) as { points: { evaluation: number; value: number }[] };
    expect(best.points.map(({ evaluation, value }) => [evaluation, value])).toEqual([
      [1, 3],
      [2, 2],
      [3, 2],
      [4, 1],
    ]);
    expect(await bench.ok('plot', 'one')).toMatch(/best f ↓ min\n[^]*evaluation\nnow 1\n$/);
    const volumes = (await bench.json('plot', 'two', '--convergence')) as { points: { value: number }[] };
    const values = volumes.points.map(({ value }) => value);
    // With f2 as less of it is better the front is (0, 10), (5, 8) and (10, 0), and its box goes from (0, 0) to (11, 11).
    expect(values).toEqual([...values].sort((a, b) => a - b));
    expect(values.at(-1)).toBeCloseTo((11 * 1 + 6 * 2 + 1 * 8) / 121, 12);
  });

  test('shows the front and what is near it, counts all rows and those that lie far behind, and by --all shows that too', async () => {
    const problem = { variables: [objective('f1'), objective('f2')] };
    const near = Array.from({ length: 20 }, (_, i) => `${i},${19 - i}\n${i + 1},${20 - i}\n`);
    await bench.save('far', `f1,f2\n${near.join('')}900,1000\n`, problem);
    const text = await bench.ok('plot', 'far');
    expect(text).toMatch(/⠶ dominated 21 {2}● Pareto front 20 {2}1 outside: --all\n$/);
    expect(text).not.toContain('1000');
    const whole = await bench.ok('plot', 'far', '--all');
    expect(whole).toMatch(/● Pareto front 20\n$/);
    expect(whole).toContain('1000');
  });

  test('plots any two columns, and tells the numbers by --json', async () => {
    const { x, y, points } = await bench.json('plot', 'two', '--x', 'g', '--y', 'f1');
    expect([x, y]).toEqual(['g', 'f1']);
    expect((points as object[])[3]).toEqual({ row: 3, x: 1, y: 2, kind: 'infeasible' });
    expect((points as object[])[5]).toEqual({ row: 5, x: 0, y: null, kind: 'dominated' });
  });

  test.each([
    [['two', '--x', 'no'], 'There is no column "no". It has f1, f2, g, note.'],
    [['two', '--x', 'note', '--y', 'f1'], '"note" has texts'],
    [['one', '--x', 'f'], 'name both --x and --y'],
  ])('says what is wrong with %j', async (args, message) => {
    const { code, stderr } = await bench.run('plot', ...args);
    expect([code, stderr]).toEqual([1, expect.stringContaining(message)]);
  });

  test('follows a save in progress on a terminal, and gives the cursor back at its end', async () => {
    const problem = await bench.folder.file('one.json', { variables: [objective('f')] });
    await using saving = bench.start('save', 'live', '-', '--problem', problem, '--upload-id', 'live');
    saving.print('f\n9\n');
    await until(async () => (await bench.uploads())['live'] === 1);
    const command = `stty cols 50 rows 16; exec ${process.execPath} ${MAIN} plot live --follow --server ${bench.daemon.address}`;
    const surroundings = { env: { TERM: 'xterm', NO_COLOR: '1', LC_ALL: 'C.UTF-8' } };
    await using plotting = Running.start(['-qec', command, '/dev/null'], surroundings, 'script');
    await until(() => plotting.stdout.includes('now 9'));
    saving.print('4\n');
    await until(() => plotting.stdout.includes('now 4'));
    saving.closeInput();
    const { code, stdout } = await plotting.ended();
    expect(code).toBe(0);
    expect(stdout.endsWith('\u001b[?25h')).toBe(true);
  });
});

test('plot --follow of a key that nothing is saved under says so in a line', async () => {
  const { code, stderr } = await run(['plot', 'nobody', '--follow', '--server', bench.daemon.address]);
  expect(code).toBe(1);
  expect(stderr.trim()).toMatch(/^No save of "nobody" is in progress\..*\[UPLOAD_NOT_FOUND\]$/);
});

describe('an axis', () => {
  test.each([
    [
      [0, 1],
      ['0.0', '0.2', '0.4', '0.6', '0.8', '1.0'],
    ],
    [
      [-3, 7],
      ['-2', '0', '2', '4', '6'],
    ],
    [
      [5, 5],
      ['4.5', '5.0', '5.5'],
    ],
    [
      [1e9, 5e9],
      ['1e9', '2e9', '3e9', '4e9', '5e9'],
    ],
  ])('over %j has round marks', (values, labels) => {
    const found = axisOver(values, 5).ticks.map(({ label }) => label.replace(/^0$/, values[1] === 1 ? '0.0' : '0'));
    expect(found).toEqual(labels);
  });

  test.each([[[]], [[NaN, Infinity]], [[-1.7e308, 1.7e308]], [[5e-324]], [[1e15, 1e15 + 1]]])(
    'over %j has finite marks',
    (values) => {
      const { min, max, ticks } = axisOver(values, 4);
      expect(min).toBeLessThan(max);
      for (const { value } of ticks) expect(Number.isFinite(value)).toBe(true);
    },
  );
});
