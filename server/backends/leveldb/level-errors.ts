import { StorageError } from '../../errors.js';

/** Whether LevelDB says that a file of its own is damaged. */
export function isCorrupted(error: unknown): boolean {
  return hasCode(error, 'LEVEL_CORRUPTION');
}

/** Whether another process has LevelDB's files open. */
export function isLocked(error: unknown): boolean {
  return hasCode(error, 'LEVEL_LOCKED');
}

function hasCode(error: unknown, code: string): boolean {
  return [error, causeOf(error)].some((some) => some instanceof Error && 'code' in some && some.code === code);
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? (error.cause ?? error) : error;
}

/** What a failed read or write of LevelDB means, in the disk's words. Damage stays what it is. */
export function indexError(error: unknown): unknown {
  if (error instanceof StorageError || isCorrupted(error) || !hasCode(error, 'LEVEL_IO_ERROR')) return error;
  const words = wordsOf(error);
  if (isForRoom(words))
    return new StorageError(
      'DISK_FULL',
      `The index could not be written, as the disk of the store is full: ${words}. Nothing acknowledged is lost: delete results or free room on the disk, then try again.`,
      { cause: error },
    );
  return new StorageError('BACKEND_UNAVAILABLE', `The index failed: ${words}. Try again later.`, { cause: error });
}

/** Why an index can't be opened. */
export function openError(path: string, error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  if (isLocked(error))
    return new StorageError(
      'BACKEND_LOCKED',
      `Another process has the store at ${path} open. One daemon at a time serves a store: stop the other one, or give this one a path of its own.`,
      { cause: error },
    );
  const words = wordsOf(error);
  return new StorageError(
    isForRoom(words) ? 'DISK_FULL' : 'BACKEND_UNAVAILABLE',
    `The index at ${path} can't be opened: ${words}.`,
    { cause: error },
  );
}

function isForRoom(words: string): boolean {
  return /No space left|quota exceeded|ENOSPC|EDQUOT/i.test(words);
}

function wordsOf(error: unknown): string {
  const cause = causeOf(error);
  return cause instanceof Error ? cause.message : String(cause);
}
