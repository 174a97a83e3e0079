import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestDaemon } from '../rpc/wire.js';
import { run, virtualenv } from './virtualenv.js';

const HERE = import.meta.dirname;
const PROTO = resolve('proto');
const CONTRACT = join(HERE, 'contract.py');

let daemon: TestDaemon;
let python: string;
let generated: string;

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
  python = await virtualenv(join(HERE, 'requirements.txt'));
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
