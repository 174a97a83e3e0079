import { chmod, mkdir, open, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

/** writev takes at most this many buffers at once (IOV_MAX). */
const BUFFERS_PER_WRITE_MAX = 1024;

/** Writes all bytes of the buffers at a place of the file, however the system cuts it. */
export async function writeFully(file: FileHandle, buffers: readonly Uint8Array[], position: number): Promise<void> {
  let at = position;
  for (let i = 0; i < buffers.length; i += BUFFERS_PER_WRITE_MAX) {
    let rest = buffers.slice(i, i + BUFFERS_PER_WRITE_MAX);
    while (rest.length > 0) {
      const { bytesWritten } = await file.writev(rest, at);
      at += bytesWritten;
      rest = behind(rest, bytesWritten);
    }
  }
}

/** What is left of the buffers behind their first bytes. */
function behind(buffers: Uint8Array[], byteLength: number): Uint8Array[] {
  let skip = byteLength;
  let i = 0;
  while (i < buffers.length && skip >= (buffers[i]?.byteLength ?? 0)) skip -= buffers[i++]?.byteLength ?? 0;
  const [first, ...rest] = buffers.slice(i);
  return first === undefined ? [] : [first.subarray(skip), ...rest];
}

/** Makes a file's name durable. */
export function syncDirectoryOf(path: string): Promise<void> {
  return syncFolder(dirname(path));
}

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}

/** Makes a folder, and those above it, where they are not there. The names of those that it makes are durable. */
export async function makeFolders(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectoryOf(made);
}

/** Closes a folder to other users. One that belongs to somebody else stays as it is: its modes are theirs to say. */
export async function closeToOthers(path: string): Promise<void> {
  const { mode } = await stat(path);
  if ((mode & 0o077) === 0) return;
  await chmod(path, mode & 0o700).catch((error: unknown) => {
    if (!['EPERM', 'EROFS', 'ENOTSUP'].includes(codeOf(error) ?? '')) throw error;
  });
}

/** Reads at most so many bytes: fewer at the end of the file. */
export async function readAt(file: FileHandle, position: number, byteLength: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(byteLength);
  let length = 0;
  while (length < byteLength) {
    const { bytesRead } = await file.read(bytes, length, byteLength - length, position + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return bytes.subarray(0, length);
}

/** The error code of a failed system call; undefined for all else. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** What an act gives; undefined where what it needs is not there. */
export async function ifThere<T>(act: Promise<T>): Promise<T | undefined> {
  try {
    return await act;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
