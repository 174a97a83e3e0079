import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run as execute } from '../python/virtualenv.js';
import { MAIN } from '../rpc/wire.js';
import { Bench, problemOf, run } from './cli.js';

let bench: Bench;
let env: Record<string, string>;

beforeAll(async () => {
  bench = await Bench.start();
  mkdirSync(bench.folder.at('bin'));
  symlinkSync(MAIN, bench.folder.at('bin/optistore'));
  const PATH = [bench.folder.at('bin'), dirname(process.execPath), process.env['PATH']].join(':');
  env = { PATH, HOME: bench.folder.path, OPTISTORE_SERVER: bench.daemon.address };
  for (const key of ['runs/a', 'runs/b:1', 'runs/c d']) await bench.save(key, 'x\n1\n', problemOf(['x', 'FLOAT64']));
  await bench.folder.file('table.csv', '');
});

afterAll(() => bench[Symbol.asyncDispose]());

const BASH = `source <(optistore completion bash); COMP_LINE=$1; COMP_POINT=\${#1}; _optistore; printf '%s\\n' "\${COMPREPLY[@]}"`;
const FISH = 'optistore completion fish | source; complete -C $argv[1]';
/** Of its line editor in a terminal of its own; what is printed until a text comes. */
const ZSH = `
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PS1="READY> "; autoload -U compinit; compinit -u -D; source <(optistore completion zsh); print LOADED'
zpty -r -m z out '*LOADED*READY*'
zpty -w -n z "$1"$'\\t'
zpty -r -m z out "*$2*" && print FOUND
zpty -d z`;

async function shell(command: string, args: readonly string[]): Promise<string[]> {
  const { stdout } = await execute(command, [...args], { env, cwd: bench.folder.path, timeout: 30_000 });
  // Behind a tab is what fish shows beside a word.
  return stdout
    .trim()
    .split('\n')
    .map((line) => line.split('\t')[0] ?? '');
}

const isThere = (command: string) => spawnSync(command, ['--version']).error === undefined;
const skipped = (command: string) => (isThere(command) ? '' : ` (skipped: there is no ${command})`);

const CASES: readonly [line: string, expected: string][] = [
  ['optistore migr', 'migrate'],
  ['optistore migrate --ke', '--keep'],
  ['optistore migrate --from sec', 'secondary'],
  ['optistore export runs/a --format par', 'parquet'],
  ['optistore completion zs', 'zsh'],
  ['optistore uploads ab', 'abort'],
  ['optistore load runs/a', 'runs/a'],
  ['optistore save runs/a tab', 'table.csv'],
  ['optistore save runs/a --problem tab', 'table.csv'],
];

describe('bash completes', () => {
  test.each(CASES)('%s to %s', async (line, expected) => {
    expect(await shell('bash', ['--norc', '-c', BASH, 'bash', line])).toContain(expected);
  });

  test('keys with spaces and colons as the line needs them', async () => {
    expect(await shell('bash', ['--norc', '-c', BASH, 'bash', 'optistore load runs/c'])).toEqual(['runs/c\\ d']);
    // What stands before the colon is on the line already.
    expect(await shell('bash', ['--norc', '-c', BASH, 'bash', 'optistore load runs/b:'])).toEqual(['1']);
  });
});

describe.skipIf(!isThere('fish'))(`fish completes${skipped('fish')}`, () => {
  test.each(CASES)('%s to %s', async (line, expected) => {
    expect(await shell('fish', ['--no-config', '-c', FISH, line])).toContain(expected);
  });
});

describe.skipIf(!isThere('zsh'))(`zsh completes${skipped('zsh')}`, () => {
  test.each([
    ['optistore mo', 'optistore move'],
    ['optistore migrate --from sec', 'secondary'],
    ['optistore load runs/a', 'runs/a'],
    ['optistore save runs/a tab', 'table.csv'],
  ])('%s to %s', async (line, expected) => {
    expect(await shell('zsh', ['-f', '-c', ZSH, 'zsh', line, expected])).toEqual(['FOUND']);
  });
});

test('where no daemon answers, commands are completed, keys are not, and nothing is said', async () => {
  const surroundings = { env: { OPTISTORE_SERVER: '127.0.0.1:1' } };
  expect(await run(['complete', '--', 'load', ''], surroundings)).toEqual({ code: 0, stdout: '', stderr: '' });
  expect((await run(['complete', '--', 'loa'], surroundings)).stdout).toMatch(/^load\t/);
});
