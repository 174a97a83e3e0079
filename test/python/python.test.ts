import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestDaemon } from '../rpc/wire.js';
import { generateStubs } from './stubs.js';
import { REQUIREMENTS } from './package.js';
import { run, virtualenv } from './virtualenv.js';

const HERE = import.meta.dirname;
const CONTRACT = join(HERE, 'contract.py');

let daemon: TestDaemon;
let python: string;
let generated: string;

beforeAll(async () => {
  python = await virtualenv(REQUIREMENTS);
  generated = await generateStubs(python);
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
