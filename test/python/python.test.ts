import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { access, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestDaemon } from '../rpc/wire.js';

const HERE = import.meta.dirname;
const PROTO = resolve('proto');
const CACHE = resolve('node_modules/.cache/optistore-python');
const CONTRACT = join(HERE, 'contract.py');

const run = promisify(execFile);

let daemon: TestDaemon;
let python: string;
let generated: string;

/** A virtualenv with what requirements.txt names; made once for each content of it and each Python. */
async function virtualenv(): Promise<string> {
  const { stdout: version } = await run('python3', ['-c', 'import sys; print(sys.version)'], { timeout: 30_000 });
  const requirements = join(HERE, 'requirements.txt');
  const hash = createHash('sha256').update(readFileSync(requirements)).update(version).digest('hex').slice(0, 16);
  const finished = join(CACHE, hash);
  const interpreter = join(finished, 'bin/python');
  if (await exists(interpreter)) return interpreter;
  // Made beside and then renamed: an install that broke off, or another that runs now, is never taken for a whole one.
  const started = `${finished}.${process.pid}`;
  try {
    await run('python3', ['-m', 'venv', started], { timeout: 60_000 });
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', '--no-deps'];
    await run(join(started, 'bin/python'), [...pip, '-r', requirements], { timeout: 220_000 });
    await rename(started, finished);
  } catch (error) {
    await rm(started, { recursive: true, force: true });
    if (!(await exists(interpreter))) throw error;
  }
  return interpreter;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Generates Python from the contract, and from nothing else of the repository. */
async function generate(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'optistore-python-'));
  const files = ['optistore/v1', 'google/rpc'].flatMap((path) =>
    readdirSync(join(PROTO, path)).map((name) => `${path}/${name}`),
  );
  const out = [`--python_out=${folder}`, `--grpc_python_out=${folder}`];
  await run(python, ['-m', 'grpc_tools.protoc', `-I${PROTO}`, ...out, ...files], { timeout: 60_000 });
  return folder;
}

beforeAll(async () => {
  python = await virtualenv();
  generated = await generate();
  daemon = await TestDaemon.start();
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await rm(generated, { recursive: true, force: true });
});

describe('a Python client made from the .proto files alone', () => {
  // The Python file names what it holds the daemon to, so that none is left out here.
  const promises = [...readFileSync(CONTRACT, 'utf8').matchAll(/def test_(\w+)/g)].map(([, name = '']) => name);

  test.each(promises.map((name) => [name.replaceAll('_', ' '), name]))('%s', async (_, name) => {
    const env = {
      ...process.env,
      OPTISTORE_SERVER: daemon.address,
      PYTHONPATH: generated,
      // Nothing is written into the repository.
      PYTHONDONTWRITEBYTECODE: '1',
    };
    const { stderr } = await run(python, [CONTRACT, `Contract.test_${name}`], { env, timeout: 90_000 });
    expect(stderr).toMatch(/^Ran 1 test .*\s+OK$/m);
  });
});
