import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { builtOnce } from '../built-once.js';

/** Where virtualenvs and what is built for them lie. */
export const PYTHON_CACHE = resolve('node_modules/.cache/optistore-python');

/** Installs in 5 s what takes pip 25 s. */
const UV = 'uv==0.13.9';

export const run = promisify(execFile);

/** The interpreter of a virtualenv with what a requirements file names; made once for each content of it and each Python. */
export async function virtualenv(requirements: string): Promise<string> {
  const { stdout: version } = await run('python3', ['-c', 'import sys; print(sys.version)'], { timeout: 30_000 });
  const hash = createHash('sha256').update(readFileSync(requirements)).update(version).digest('hex').slice(0, 16);
  const finished = await builtOnce(join(PYTHON_CACHE, hash), async (started) => {
    await run('python3', ['-m', 'venv', started], { timeout: 60_000 });
    const python = join(started, 'bin/python');
    await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', UV], {
      timeout: 60_000,
    });
    // The list is whole, with what its packages need, and one of them says of another that it is too new for it.
    await run(
      join(started, 'bin/uv'),
      ['pip', 'install', '--quiet', '--no-deps', '--python', python, '-r', requirements],
      { timeout: 280_000 },
    );
  });
  return join(finished, 'bin/python');
}
