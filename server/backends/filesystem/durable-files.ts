import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, link, lstat, mkdir, open, readdir, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, ifThere, syncFolder, writeFully } from '../files.js';
import { numberOf } from './names.js';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/** Whether an act that must find its place free did: false where something is there. */
export async function ifFree(act: Promise<unknown>): Promise<boolean> {
  try {
    await act;
    return true;
  } catch (error) {
    if (['EEXIST', 'ENOTEMPTY'].includes(codeOf(error) ?? '')) return false;
    throw error;
  }
}

/** Makes a folder that must not be there; its parent must. Not durable before `syncFolder` of the parent. */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { mode: FOLDER_MODE });
}

/** Makes a file that must not be there, to be written and read. */
export function createFile(path: string): Promise<FileHandle> {
  return open(path, 'wx+', FILE_MODE);
}

/** Writes a file that must not be there; its content is durable, its name not before `syncFolder`. */
export async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await createFile(path);
  await writeFully(file, [bytes], 0);
  await file.sync();
}

/** Puts a file in the place of another one, or where none is: whoever reads it sees the old content or the new. Durable. */
export async function replaceFile(folder: string, name: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(folder, temporaryName());
  await writeNew(temporary, bytes);
  await rename(temporary, join(folder, name));
  await syncFolder(folder);
}

/** A name that begins with a point is temporary, and none but who made it uses it. */
export function temporaryName(): string {
  return `.${randomUUID()}`;
}

/** Gives a durable file a second name; a copy where the file system has no links, or has no more for this file. */
export async function linkFile(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (['EEXIST', 'ENOENT'].includes(codeOf(error) ?? '')) throw error;
    await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await using copy = await open(to, 'r+');
    await copy.sync();
  }
}

/** The names in a folder, in order; none where it is not there. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await ifThere(readdir(folder)))?.sort() ?? [];
}

/** The numbers that folders in a folder have as their names, in order. */
export async function numbersIn(folder: string): Promise<number[]> {
  const numbers = (await namesIn(folder)).map(numberOf);
  return numbers.filter((number) => number !== undefined).sort((a, b) => a - b);
}

/** A file's content; undefined where it is not there. */
export function readIfThere(path: string): Promise<Buffer | undefined> {
  return ifThere(readFile(path));
}

/** Takes a folder or a file away at once, for everybody, then removes what was in it. Does nothing where it is not there. */
export async function removeFolder(path: string, temporaryFolder: string): Promise<void> {
  const away = join(temporaryFolder, temporaryName());
  const isAway = await ifThere(rename(path, away).then(() => true));
  if (isAway === true) await rm(away, { recursive: true, force: true });
}

/** Removes what was last changed before a time. */
export async function removeIfOld(path: string, beforeMs: number, temporaryFolder: string): Promise<void> {
  const { mtimeMs } = (await ifThere(lstat(path))) ?? { mtimeMs: Infinity };
  if (mtimeMs < beforeMs) await removeFolder(path, temporaryFolder);
}
