import { damageOf, StorageError } from '../errors.js';

/** The error for a key that nothing is stored under. */
export function resultNotFound(key: string): StorageError {
  const { stackTraceLimit } = Error;
  // One store after the other is asked for a key, the cache at each GetResult: this is an everyday answer, which takes ten times as long
  // with its stack (6.5 µs by itself).
  Error.stackTraceLimit = 0;
  try {
    return new StorageError(
      'RESULT_NOT_FOUND',
      `Nothing is stored under "${key}". Check the key; \`optistore list\` shows what there is.`,
    );
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** The error for a revision that a key never had, or has no longer. */
export function revisionNotFound(key: string, revision: number, newest: bigint): StorageError {
  return new StorageError(
    'REVISION_NOT_FOUND',
    `"${key}" has no revision ${revision}, or no longer; its newest is ${newest}. Load that one.`,
  );
}

/** The error for rows that were removed after their revision was looked up. */
export function revisionGone(key: string, revision: bigint): StorageError {
  return new StorageError(
    'REVISION_NOT_FOUND',
    `The rows of "${key}" at revision ${revision} are no longer kept. Load the newest revision.`,
  );
}

/**
 * The error for a key whose entry does not check; `cause` says where. A list that meets it can be gone on with behind `damaged_key`
 * and, where it is ordered by time, `damaged_time`.
 */
export function entryDamaged(key: string, time?: bigint, cause?: StorageError): StorageError {
  return new StorageError(
    'RESULT_CORRUPT',
    `${damageOf(key, cause)} Run \`optistore verify --repair\` where another store has the result; else restore the store from a backup, or use another key. All other results are as they were.`,
    { cause, metadata: { damaged_key: key, ...(time === undefined ? {} : { damaged_time: String(time) }) } },
  );
}
