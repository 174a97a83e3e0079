import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasColours } from '../../clients/cli/colours.js';
import { Bench, problemOf, run } from './cli.js';

const PROBLEM = problemOf(['x', 'FLOAT64']);
const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

let bench: Bench;

beforeAll(async () => {
  bench = await Bench.start();
});

afterAll(() => bench[Symbol.asyncDispose]());

describe('--json prints one document', () => {
  test('of what a change of a result made of it: save, update, copy, move, set', async () => {
    const table = await bench.folder.file('in.csv', 'x\n1\n2\n');
    const problem = await bench.folder.file('problem.json', PROBLEM);
    const saved = await bench.json('save', 'a', table, '--problem', problem);
    expect(saved).toMatchObject({ key: 'a', revision: '1', rowCount: '2' });
    expect(await bench.json('update', 'a', '--tag', 'k=v')).toMatchObject({
      key: 'a',
      revision: '2',
      tags: { k: 'v' },
    });
    expect(await bench.json('copy', 'a', 'b')).toMatchObject({ key: 'b', rowCount: '2' });
    expect(await bench.json('move', 'b', 'c')).toMatchObject({ key: 'c', rowCount: '2' });
    expect(await bench.json('set', 'c', 'first', '--rows', '0')).toMatchObject({ resultSets: [{ name: 'first' }] });
    expect(await bench.json('set', 'c', 'first', '--delete')).not.toHaveProperty('resultSets');
    expect(await bench.json('load', 'c')).toMatchObject({ columns: { x: [1, 2] } });
  });

  test('of what is gone: delete, also of many, and uploads abort', async () => {
    for (const key of ['gone/1', 'gone/2', 'lost']) await bench.save(key, 'x\n1\n', PROBLEM);
    expect(await bench.json('delete', 'lost')).toEqual({ key: 'lost', revision: '2' });
    const dry = await bench.json('delete', '--prefix', 'gone/', '--dry-run');
    expect(dry).toMatchObject({ dryRun: true, results: [{ key: 'gone/1' }, { key: 'gone/2' }], skipped: [] });
    const done = await bench.json('delete', '--prefix', 'gone/', '--yes');
    expect(done).toMatchObject({ dryRun: false, results: [{ key: 'gone/1', rowCount: '1' }, { key: 'gone/2' }] });
    const problem = await bench.folder.file('problem.json', PROBLEM);
    const broken = await bench.folder.file('broken.csv', 'x\n1\nmany\n');
    await bench.run('save', 'u', broken, '--problem', problem, '--upload-id', 'u-1');
    expect(await bench.json('uploads', 'abort', 'u-1')).toEqual({ uploadId: 'u-1' });
  });

  test('of tokens', async () => {
    const flags = ['--tokens', bench.folder.at('tokens.json'), '--json'];
    const made = JSON.parse((await run(['token', 'create', 'me', ...flags])).stdout) as { token: string };
    expect(made).toMatchObject({ name: 'me', scope: 'write', prefix: '' });
    expect(made.token).not.toBe('');
    const { stdout } = await run(['token', 'revoke', 'me', ...flags]);
    expect(JSON.parse(stdout)).toMatchObject({ name: 'me' });
  });

  test('of an error, on standard error, with its reason and what to do next', async () => {
    const { code, stdout, stderr } = await bench.run('load', 'no/such', '--json');
    expect([code, stdout]).toEqual([1, '']);
    const { error } = JSON.parse(stderr) as { error: { message: string; reason: string } };
    expect(error.reason).toBe('RESULT_NOT_FOUND');
    expect(error.message).toContain('optistore list');
  });
});

describe('an error ends with what to do next', () => {
  test.each([
    [['load', 'no/such'], '`optistore list`'],
    [['load', 'known', '--columns', 'y'], '`optistore show'],
    [['load', 'known', '--set', 'none'], '`optistore set'],
    [['load', 'known', '--rows', '9:'], '`optistore show'],
    [['uploads', 'abort', 'none'], '`optistore uploads`'],
    [['list', '--filter', 'tags.'], 'docs/filter.md'],
    [['replicate'], 'docs/replication.md'],
    [['migrate', 'known', '--from', 'primary', '--to', 'cache'], '--keep'],
    [['save', 'known', 'no-such.csv'], 'no-such.csv'],
  ])('optistore %j', async (args, next) => {
    await bench.save('known', 'x\n1\n', PROBLEM);
    const { code, stderr } = await bench.run(...args);
    expect(stderr).toContain(next);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
  });

  test('where no daemon is, with how to start one', async () => {
    const { code, stderr } = await run(['list', '--server', '127.0.0.1:1']);
    expect([code, stderr]).toEqual([1, expect.stringContaining('`optistore serve`')]);
  });

  test('where the command is unknown, with the one that was meant', async () => {
    const { code, stderr } = await run(['lst']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('Did you mean list?')]);
  });
});

describe('--version', () => {
  test('tells the version, and with --json that of Node', async () => {
    expect((await run(['--version'])).stdout).toBe(`optistore ${version}\n`);
    const { stdout } = await run(['--version', '--json']);
    expect(JSON.parse(stdout)).toEqual({ version, node: process.versions.node });
  });
});

describe('colours', () => {
  const [terminal, pipe] = [{ isTTY: true }, { isTTY: false }];
  test.each([
    ['a terminal', terminal, {}, [], true],
    ['a pipe', pipe, {}, [], false],
    ['a terminal with NO_COLOR', terminal, { NO_COLOR: '1' }, [], false],
    ['a terminal with an empty NO_COLOR', terminal, { NO_COLOR: '' }, [], true],
    ['a terminal that is dumb', terminal, { TERM: 'dumb' }, [], false],
    ['a pipe with FORCE_COLOR', pipe, { FORCE_COLOR: '1' }, [], true],
    ['a terminal with FORCE_COLOR=0', terminal, { FORCE_COLOR: '0' }, [], false],
    ['a terminal with --no-color', terminal, { FORCE_COLOR: '1' }, ['--no-color'], false],
  ])('of %s', (_, output, env, args, expected) => {
    expect(hasColours(output, env, args)).toBe(expected);
  });

  test('are on no pipe unless they are forced, and --no-color is known to every command', async () => {
    const escape = '\u001b[';
    expect(await bench.ok('doctor', '--no-color')).not.toContain(escape);
    expect(await bench.ok('doctor')).not.toContain(escape);
    const env = { FORCE_COLOR: '1', OPTISTORE_SERVER: bench.daemon.address };
    expect((await run(['doctor'], { env })).stdout).toContain(escape);
  });
});
