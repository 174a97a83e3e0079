import { StorageError } from '../../errors.js';

/** SQLSTATE classes and codes of a server that can't be asked now; PostgreSQL's manual, appendix A. */
const UNAVAILABLE_STATE = /^(08|53|57P|58|28|3D000|40|25006|55P03)/;
/** What a database says of pages that it can't read; PostgreSQL's internal errors are of such pages too. */
const DAMAGED_CODE = /^(SQLITE_CORRUPT|SQLITE_NOTADB|XX00[012])/;
const DISK_FULL_CODES = new Set(['53100', 'SQLITE_FULL', 'ENOSPC', 'EDQUOT']);
const LOST_MESSAGE =
  /Connection terminated|Connection ended|Client has encountered a connection error|Timeout acquiring a connection|timeout expired|Unable to acquire a connection|aborted|not queryable/i;

/**
 * What a driver's error means for who called; all else as it is. The message never has a statement, its values or a
 * password.
 */
export function databaseError(error: unknown, database: string): unknown {
  if (error instanceof StorageError) return error;
  const code = codeOf(error);
  const message = nativeMessage(error);
  if (DISK_FULL_CODES.has(code)) {
    return new StorageError(
      'DISK_FULL',
      `The disk of the database ${database} is full. Nothing acknowledged is lost: free some room, then resume the upload.`,
      { cause: error },
    );
  }
  if (DAMAGED_CODE.test(code)) {
    const advice = code.startsWith('SQLITE_')
      ? 'Restart the daemon: it makes a new file of all that can be read, and puts this one aside.'
      : "Restore it as PostgreSQL's manual says; or use an empty database, and `optistore verify --repair` brings back what the other store has.";
    return new StorageError('RESULT_CORRUPT', `The database ${database} is damaged: ${message}. ${advice}`, {
      cause: error,
    });
  }
  if (isUnavailable(code, message)) {
    return new StorageError(
      'BACKEND_UNAVAILABLE',
      `The database ${database} can't be reached or used: ${message}. Try again when it is back.`,
      { cause: error },
    );
  }
  return error;
}

function isUnavailable(code: string, message: string): boolean {
  if (code.startsWith('SQLITE_')) return code !== 'SQLITE_CONSTRAINT' && code !== 'SQLITE_ERROR';
  // System errors (ECONNREFUSED …) and what the pool and the driver say of lost connections have no SQLSTATE.
  return UNAVAILABLE_STATE.test(code) || /^E[A-Z]{2,}$/.test(code) || LOST_MESSAGE.test(message);
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  if ('errors' in error && Array.isArray(error.errors)) return codeOf(error.errors[0]);
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** Knex puts the statement before the driver's message. */
export function nativeMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const native = error.message.slice(error.message.lastIndexOf(' - ') + 1).replace(/^- /, '');
  return native.trim() === '' ? codeOf(error) : native.trim();
}
