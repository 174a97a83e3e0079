import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { access, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

/** Where virtualenvs and what is built for them lie. */
export const PYTHON_CACHE = resolve('node_modules/.cache/optistore-python');

export const run = promisify(execFile);

/** The interpreter of a virtualenv with what a requirements file names; made once for each content of it and each Python. */
export async function virtualenv(requirements: string): Promise<string> {
  const { stdout: version } = await run('python3', ['-c', 'import sys; print(sys.version)'], { timeout: 30_000 });
  const hash = createHash('sha256').update(readFileSync(requirements)).update(version).digest('hex').slice(0, 16);
  const finished = join(PYTHON_CACHE, hash);
  const interpreter = join(finished, 'bin/python');
  if (await exists(interpreter)) return interpreter;
  // Made beside and then renamed: an install that broke off, or another that runs now, is never taken for a whole one.
  const started = `${finished}.${process.pid}`;
  try {
    await run('python3', ['-m', 'venv', started], { timeout: 60_000 });
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', '--no-deps'];
    await run(join(started, 'bin/python'), [...pip, '-r', requirements], { timeout: 280_000 });
    await rename(started, finished);
  } catch (error) {
    await rm(started, { recursive: true, force: true });
    if (!(await exists(interpreter))) throw error;
  }
  return interpreter;
}

/** Whether a path is there. */
export function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
