import { access, rename, rm } from 'node:fs/promises';

/**
 * Builds a file or a folder where it is not there yet. It is made beside and then renamed: one that broke off, or another that is built now,
 * is never taken for a whole one.
 */
export async function builtOnce(finished: string, build: (started: string) => Promise<unknown>): Promise<string> {
  if (await exists(finished)) return finished;
  const started = `${finished}.${process.pid}`;
  try {
    await build(started);
    await rename(started, finished);
  } catch (error) {
    await rm(started, { recursive: true, force: true });
    if (!(await exists(finished))) throw error;
  }
  return finished;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
