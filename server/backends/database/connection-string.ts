import { isAbsolute, resolve } from 'node:path';
import { StorageError } from '../../errors.js';

/** Where a database is. */
export type DatabaseAddress =
  | {
      readonly dialect: 'sqlite';
      /** Absolute path of the file; undefined: in memory. */
      readonly file: string | undefined;
      /** For messages. */
      readonly name: string;
    }
  | {
      readonly dialect: 'postgresql';
      /** As `pg` takes it, with the password. */
      readonly url: string;
      /** For messages: without the password. */
      readonly name: string;
    };

const EXPECTED =
  'Expected sqlite:///results.db (relative), sqlite:////var/lib/results.db (absolute), sqlite:// (in memory) or postgresql://user:password@host:port/database';

/** Reads a connection string. REQUEST_INVALID; the message never repeats it, as it may have a password. */
export function parseConnectionString(text: string): DatabaseAddress {
  if (text === 'sqlite://') return { dialect: 'sqlite', file: undefined, name: 'sqlite:// (in memory)' };
  if (text.startsWith('sqlite:///')) return sqliteFile(text.slice('sqlite:///'.length));
  if (/^postgres(ql)?:\/\//.test(text)) return postgresql(text);
  throw invalid('it is of no known form');
}

/** The connection string without its password and options, for logs. */
export function withoutPassword(connectionString: string): string {
  return parseConnectionString(connectionString).name;
}

function sqliteFile(path: string): DatabaseAddress {
  if (path === '' || path.endsWith('/')) throw invalid('it names no file');
  const file = isAbsolute(path) ? path : resolve(path);
  return { dialect: 'sqlite', file, name: `sqlite:///${path}` };
}

function postgresql(text: string): DatabaseAddress {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalid('it is no URL; a password with special characters must be percent-encoded');
  }
  if (url.pathname.length < 2) throw invalid('it names no database');
  // A password with a slash ends the host before its time: its rest would be shown as a name.
  if (/[/@]/.test(url.pathname.slice(1)))
    throw invalid('the name of its database has / or @; a password with special characters must be percent-encoded');
  const user = url.username === '' ? '' : `${url.username}@`;
  return { dialect: 'postgresql', url: text, name: `postgresql://${user}${url.host}${url.pathname}` };
}

function invalid(what: string): StorageError {
  return new StorageError('REQUEST_INVALID', `connection_string can't be used: ${what}. ${EXPECTED}.`);
}
