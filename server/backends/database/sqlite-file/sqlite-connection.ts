import connect, { type Knex } from 'knex';

const BUSY_TIMEOUT_MS = 10_000;
const ACQUIRE_TIMEOUT_MS = 150_000;

/** Knex writes to standard output what it also throws. */
export const SILENT = { debug: ignore, warn: ignore, error: ignore, deprecate: ignore };

function ignore(): void {}

/** What a raw SQLite connection of the driver does. */
interface SqliteConnection {
  serialize(): void;
  exec(sql: string, done: (error: Error | null) => void): void;
}

/** How a store uses its file: each commit is on stable storage. */
const DURABLE = 'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;';

/** One connection to a file; undefined: a database in memory, which is the connection. */
export function sqliteConnection(file: string | undefined, settings = DURABLE): Knex {
  const afterCreate = (connection: SqliteConnection, done: (error: Error | null, connection: unknown) => void) => {
    connection.serialize();
    connection.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}; ${settings}`, (error) => done(error, connection));
  };
  return connect.knex({
    ...{ client: 'sqlite3', useNullAsDefault: true, compileSqlOnError: false, log: SILENT },
    connection: { filename: file ?? ':memory:' },
    pool: { min: 1, max: 1, idleTimeoutMillis: 2 ** 31 - 1, afterCreate },
    acquireConnectionTimeout: ACQUIRE_TIMEOUT_MS,
  });
}
