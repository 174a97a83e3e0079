import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAIN, TestDaemon } from '../rpc/wire.js';
import { PACKAGE, pythonPackage, type InstalledPackage } from './package.js';
import { run } from './virtualenv.js';

const HERE = import.meta.dirname;
/** What is ours, from the root of the repository. */
const PYTHON = ['clients/python', 'test/python', 'test/conformance'];
const FILES = readdirSync(HERE).filter((name) => /^test_.*\.py$/.test(name));

let installed: InstalledPackage;
let daemon: TestDaemon;
let folder: string;
let failures: Map<string, string[]>;

beforeAll(async () => {
  installed = await pythonPackage();
  daemon = await TestDaemon.start();
  folder = await mkdtemp(join(tmpdir(), 'optistore-pytest-'));
  // One run of pytest for all: what the packages need to be imported is a good part of it. Each test is told by itself.
  failures = await failuresOfAll();
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

describe.each(FILES)('the Python package, %s', (file) => {
  const text = readFileSync(join(HERE, file), 'utf8');
  const names = [...text.matchAll(/^def (test_\w+)/gm)].map(([, name = '']) => name);
  const module = file.replace(/\.py$/, '');

  test.each(names.map((name) => [name.slice('test_'.length).replaceAll('_', ' '), name]))('%s', (_, name) => {
    const found = failures.get(`${module}.${name}`);
    expect(found, 'pytest does not know it').toBeDefined();
    expect(found).toEqual([]);
  });
});

describe('the Python package', () => {
  test('is typed, without an error', async () => {
    const { stdout } = await checked(['-m', 'mypy', '--cache-dir', join(folder, 'mypy')], installed.path);
    expect(stdout).toContain('Success');
  });

  test('is formatted and without a fault that ruff finds', async () => {
    const { stdout } = await checked(['-m', 'ruff', 'check', '--no-cache', ...PYTHON], resolve());
    expect(stdout).toContain('All checks passed');
    await checked(['-m', 'ruff', 'format', '--no-cache', '--check', ...PYTHON], resolve());
  });
});

/** Messages of failures by module and name of the tests; without one, it passed. */
async function failuresOfAll(): Promise<Map<string, string[]>> {
  const report = join(folder, 'pytest.xml');
  const args = [
    '-m',
    'pytest',
    '-q',
    '-p',
    'no:cacheprovider',
    `--junitxml=${report}`,
    ...FILES.map((file) => join(HERE, file)),
  ];
  const env = {
    ...installed.env,
    OPTISTORE_SERVER: daemon.address,
    OPTISTORE_DAEMON: `${process.execPath} ${MAIN}`,
    MPLBACKEND: 'agg',
  };
  const output = await run(installed.python, args, { env, cwd: folder, timeout: 280_000, maxBuffer: 2 ** 26 }).then(
    ({ stdout }) => stdout,
    (error: { stdout?: string; stderr?: string }) => `${error.stdout}${error.stderr}`,
  );
  const xml = await readFile(report, 'utf8').catch(() => expect.fail(output));
  const found = new Map<string, string[]>();
  for (const [, module = '', name = '', rest = ''] of xml.matchAll(
    /<testcase classname="(?:[^"]*\.)?(test_\w+)" name="(test_\w+)[^>]*?(\/>|>[\s\S]*?<\/testcase>)/g,
  )) {
    const test = `${module}.${name}`;
    const told = found.get(test) ?? [];
    if (/<(failure|error|skipped)/.test(rest)) told.push(rest.slice(0, 4000));
    found.set(test, told);
  }
  return found;
}

function checked(args: readonly string[], cwd: string) {
  const config = join(PACKAGE, 'pyproject.toml');
  const isTyping = args.includes('mypy');
  const more = isTyping ? ['--config-file', config] : ['--config', config];
  return run(installed.python, [...args, ...more], { env: installed.env, cwd, timeout: 180_000 }).catch(
    (error: { stdout?: string; stderr?: string }) => expect.fail(`${error.stdout}${error.stderr}`),
  );
}
