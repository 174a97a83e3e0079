import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';

/** Builds a Go tool where no earlier run has; gives its path. `go install` puts the file there whole or not at all. */
export async function goTool(module: string, version: string): Promise<string> {
  const name = basename(module);
  const folder = resolve(`node_modules/.cache/optistore-${name}`, version);
  const path = join(folder, name);
  try {
    await access(path);
  } catch {
    const env = { ...process.env, GOBIN: folder };
    await promisify(execFile)('go', ['install', `${module}@${version}`], { env, timeout: 280_000 });
  }
  return path;
}
