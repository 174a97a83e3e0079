import { once } from 'node:events';
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { InputError } from '../input-error.js';

/**
 * Writes a file that is whole or not there: under another name until its bytes are on stable storage. What is no file, such as a
 * pipe or /dev/null, is written as it is, and never replaced.
 */
export async function writeWhole(path: string, write: (output: Writable) => Promise<void>): Promise<void> {
  if (!(await isReplaceable(path))) return writeAndClose(path, false, write);
  const partial = `${path}.partial`;
  try {
    await writeAndClose(partial, true, write);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

async function isReplaceable(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return true;
    throw error;
  }
}

async function writeAndClose(
  path: string,
  isFlushed: boolean,
  write: (output: Writable) => Promise<void>,
): Promise<void> {
  const file = (await openNew(path)).createWriteStream({ flush: isFlushed });
  // Whoever writes next is told; until then it must not end the process.
  file.on('error', () => undefined);
  try {
    await write(file);
    file.end();
    if (file.errored) throw file.errored;
    await once(file, 'close');
  } finally {
    file.destroy();
  }
}

/** Opens a file to be written. InputError where its folder is not there. */
async function openNew(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'w');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    throw new InputError(`The folder ${dirname(path)} is not there. Make it first, or name another.`, { cause: error });
  }
}

/** So that the new name survives a power cut as well. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
