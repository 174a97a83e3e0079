import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { builtOnce } from '../built-once.js';
import { PYTHON_CACHE, run, virtualenv } from './virtualenv.js';

/** What all Python of the tests runs with. */
export const REQUIREMENTS = resolve('test/python/requirements.txt');
export const PACKAGE = resolve('clients/python');
const PROTO = resolve('proto/optistore/v1');

/** An interpreter, and where the package that was built and installed lies. */
export interface InstalledPackage {
  readonly python: string;
  /** For PYTHONPATH. */
  readonly path: string;
  readonly wheel: string;
  /** The environment that has both. */
  readonly env: NodeJS.ProcessEnv;
}

/** Builds the wheel of the Python package and installs it, once for each content of it; tests use what a user gets. */
export async function pythonPackage(): Promise<InstalledPackage> {
  const python = await virtualenv(REQUIREMENTS);
  const finished = await builtOnce(join(PYTHON_CACHE, `package-${contentHash()}`), (started) => build(python, started));
  const path = join(finished, 'site');
  const [wheel = ''] = (await readdir(finished)).filter((name) => name.endsWith('.whl'));
  const env = { ...process.env, PYTHONPATH: path, PYTHONDONTWRITEBYTECODE: '1' };
  return { python, path, wheel: join(finished, wheel), env };
}

function contentHash(): string {
  const hash = createHash('sha256');
  for (const folder of [PACKAGE, PROTO])
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
      if (entry.isFile() && /\.(py|toml|proto)$/.test(entry.name) && !entry.name.includes('_pb2'))
        hash.update(entry.name).update(readFileSync(join(entry.parentPath, entry.name)));
  return hash.digest('hex').slice(0, 16);
}

/** From a source package, as it is published: what that lacks, the wheel would lack. */
async function build(python: string, started: string): Promise<void> {
  const checkout = await mkdtemp(join(tmpdir(), 'optistore-package-'));
  try {
    // Building writes the contract's classes beside the sources.
    const copy = join(checkout, 'clients/python');
    const isSource = (path: string) => !/\/(__pycache__|\.[a-z]+_cache|dist|v1)(\/|$)/.test(path.slice(PACKAGE.length));
    await cp(PACKAGE, copy, { recursive: true, filter: isSource });
    await cp(resolve('proto/optistore'), join(checkout, 'proto/optistore'), { recursive: true });
    await run(python, ['-m', 'hatchling', 'build', '-t', 'sdist'], { cwd: copy, timeout: 60_000 });
    const [source = ''] = await readdir(join(copy, 'dist'));
    const unpacked = join(checkout, 'unpacked');
    await mkdir(unpacked);
    await run('tar', ['-xzf', join(copy, 'dist', source), '-C', unpacked, '--strip-components=1']);
    await mkdir(started, { recursive: true });
    await run(python, ['-m', 'hatchling', 'build', '-t', 'wheel', '-d', started], { cwd: unpacked, timeout: 60_000 });
    const [wheel = ''] = await readdir(started);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', '--no-deps'];
    await run(python, [...pip, '--target', join(started, 'site'), join(started, wheel)], { timeout: 60_000 });
  } finally {
    await rm(checkout, { recursive: true, force: true });
  }
}
