import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { program } from '../../clients/cli/program.js';
import { codeBlocks } from '../docs/code-blocks.js';
import { MAIN } from '../rpc/wire.js';
import { Bench, Running } from './cli.js';

const PAGE = readFileSync('docs/cli.md', 'utf8');

let bench: Bench;

beforeAll(async () => {
  bench = await Bench.start();
});

afterAll(() => bench[Symbol.asyncDispose]());

test('the commands of docs/cli.md do what it says', async () => {
  mkdirSync(bench.folder.at('bin'));
  symlinkSync(MAIN, bench.folder.at('bin/optistore'));
  symlinkSync(resolve('examples'), bench.folder.at('examples'));
  const PATH = [bench.folder.at('bin'), dirname(process.execPath), process.env['PATH']].join(':');
  const script = await bench.folder.file('page.sh', codeBlocks(PAGE, 'sh').join('\n'));
  const surroundings = { cwd: bench.folder.path, env: { PATH, OPTISTORE_SERVER: bench.daemon.address } };
  await using running = Running.start(['-e', script], surroundings, 'sh');
  const { code, stdout, stderr } = await running.ended();
  expect(stderr).toBe('');
  expect(code).toBe(0);
  for (const told of [
    'beam/a.csv → imported/beam/a: would be imported',
    '1 file imported, 0 as a new revision, 0 were there',
    '0 files imported, 0 as a new revision, 1 were there',
    'runs/beam → beam.parquet: 10000 rows',
    '2 results exported to out',
    '● Pareto front',
    'hypervolume of 2 objectives',
    'archive/bnh: deleted',
    '✓ server',
  ])
    expect(stdout).toContain(told);
  expect(await bench.folder.read('optistore.bash')).toContain('complete -F');
});

test('docs/cli.md names every command', () => {
  for (const { name } of program().commands.map((command) => ({ name: command.name() })))
    if (name !== 'complete') expect(PAGE, name).toMatch(new RegExp(`optistore ${name}\\b|\`${name}\\b`));
});
