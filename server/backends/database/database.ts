import { dirname } from 'node:path';
import connect, { type Knex } from 'knex';
import { isCorrupt, StorageError } from '../../errors.js';
import { makeFolders } from '../files.js';
import { diskOf, type Disk } from '../room/disk.js';
import type { DatabaseAddress } from './connection-string.js';
import { databaseError } from './database-errors.js';
import { migrateToLatest } from './migrations.js';
import { SILENT, sqliteConnection } from './sqlite-file/sqlite-connection.js';
import { SqliteFile } from './sqlite-file/sqlite-file.js';
import { writeStore } from './store-row.js';

/** One lock for the migrations of all daemons on a server's database; any number that others are unlikely to use. */
const MIGRATION_LOCK = 7_240_116;
const CONNECT_TIMEOUT_MS = 5000;
const ACQUIRE_TIMEOUT_MS = 15_000;
const POSTGRESQL_CONNECTIONS_MAX = 10;

/** What a query runs on: the pool, or a transaction. */
export type Connection = Knex | Knex.Transaction;

/** A database with its schema. Connects when it is first asked, and again after a connection was lost. */
export class Database implements AsyncDisposable {
  private readonly knex: Knex;
  /** The file of a SQLite database that is not in memory. */
  private readonly file: SqliteFile | undefined;
  private preparing: Promise<void> | undefined;
  private isClosed = false;

  constructor(readonly address: DatabaseAddress) {
    const isSqlite = address.dialect === 'sqlite';
    this.knex = isSqlite ? sqliteConnection(address.file) : connect.knex(postgresqlConfig(address.url));
    this.file = isSqlite && address.file !== undefined ? new SqliteFile(address.file) : undefined;
  }

  /** What damage may have cost that was found when it was opened; undefined: nothing. */
  get report(): string | undefined {
    return this.file?.report;
  }

  get isPostgresql(): boolean {
    return this.address.dialect === 'postgresql';
  }

  get isDurable(): boolean {
    return this.isPostgresql || (this.address.dialect === 'sqlite' && this.address.file !== undefined);
  }

  /** Brings the schema up to date. BACKEND_UNAVAILABLE; the next call tries again. */
  async ready(): Promise<void> {
    if (this.isClosed) throw new StorageError('BACKEND_UNAVAILABLE', 'The store is closed.');
    this.preparing ??= this.prepare();
    try {
      await this.preparing;
    } catch (error) {
      this.preparing = undefined;
      throw databaseError(error, this.address.name);
    }
  }

  /** Runs queries that need no transaction. */
  async query<T>(act: (connection: Connection) => Promise<T>): Promise<T> {
    await this.ready();
    try {
      return await act(this.knex);
    } catch (error) {
      throw await this.failure(error);
    }
  }

  /**
   * Runs an act whose changes are made together or not at all, durable when it resolves. Inside of it only its own
   * connection may be used: SQLite has no other. BACKEND_UNAVAILABLE: whether they were made may be unknown.
   */
  async transact<T>(act: (connection: Knex.Transaction) => Promise<T>): Promise<T> {
    await this.ready();
    try {
      return await this.knex.transaction(async (transaction) => {
        // SQLite: who begins by reading may be refused to write where another process wrote meanwhile.
        if (!this.isPostgresql) await transaction.raw('DELETE FROM store WHERE id < 0');
        return act(transaction);
      });
    } catch (error) {
      throw await this.failure(error);
    }
  }

  private async failure(error: unknown): Promise<unknown> {
    const failure = databaseError(error, this.address.name);
    if (failure !== error && isCorrupt(failure)) await this.file?.failed();
    return failure;
  }

  /** The disk of a SQLite file: free are also the pages that the file has and does not use. Undefined: it is not to be seen from here. */
  async disk(): Promise<Disk | undefined> {
    const file = this.address.dialect === 'sqlite' ? this.address.file : undefined;
    if (file === undefined) return undefined;
    const unused = await this.query((connection) =>
      connection
        .raw<{ bytes: number }[]>(
          'SELECT freelist_count * page_size AS bytes FROM pragma_freelist_count, pragma_page_size',
        )
        .then((rows) => rows[0]?.bytes ?? 0),
    );
    const { freeBytes, totalBytes } = await diskOf(dirname(file));
    return { freeBytes: freeBytes + unused, totalBytes };
  }

  /** Why a power cut may take what was committed; undefined: nothing that can be seen from here. */
  async weakness(): Promise<string | undefined> {
    if (!this.isPostgresql) return undefined;
    const names = ['fsync', 'full_page_writes'];
    const settings = await this.query((connection) =>
      connection<{ name: string; setting: string }>('pg_settings').whereIn('name', names).where('setting', 'off'),
    );
    if (settings.length === 0) return undefined;
    const off = settings.map(({ name }) => name).join(' and ');
    return `The server of ${this.address.name} runs with ${off} off: a power cut may take what was acked. Set ${off} to on in its configuration, and reload it.`;
  }

  /** Text as the database can hold it: PostgreSQL's has no NUL. The manifest keeps the original. */
  text(value: string): string {
    return this.isPostgresql ? value.replaceAll('\0', '\ufffd') : value;
  }

  private async prepare(): Promise<void> {
    const { address } = this;
    if (address.dialect === 'sqlite')
      return this.file === undefined ? this.prepareMemory() : this.prepareFile(this.file);
    await this.knex.transaction(async (transaction) => {
      await transaction.raw('SELECT pg_advisory_xact_lock(?)', [MIGRATION_LOCK]);
      await this.migrate();
    });
  }

  private async prepareFile(file: SqliteFile): Promise<void> {
    await makeFolders(dirname(file.path));
    await file.prepare();
    await file.orRefuse(async () => {
      await this.migrate();
      await file.opened(this.knex);
    });
  }

  private async prepareMemory(): Promise<void> {
    await this.migrate();
    await this.startNumbers();
  }

  private async migrate(): Promise<void> {
    try {
      await migrateToLatest(this.knex);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes('migration directory is corrupt')) throw error;
      throw new StorageError(
        'BACKEND_UNAVAILABLE',
        `The database ${this.address.name} was made by a newer optistore. Install that version, or use another database.`,
        { cause: error },
      );
    }
  }

  /** A volatile store's numbers go on from the time of its start, so that one of an earlier process is known to be too old. */
  private async startNumbers(): Promise<void> {
    const start = BigInt(Date.now() * 1000);
    await writeStore(this.knex, { changeNumber: start, floor: start, resultCount: 0, pendingCount: 0, sizeBytes: 0 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isClosed = true;
    await this.preparing?.catch(() => undefined);
    await this.knex.destroy();
    await this.file?.closed();
  }
}

/** What a raw PostgreSQL connection of the driver does. */
interface PostgresqlConnection {
  query(sql: string, done: (error: Error | null) => void): void;
}

/** An ack is a commit that was waited for, whatever the server, the database or the user has it; what is more than that stays. */
const WAIT_FOR_COMMITS =
  "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

function postgresqlConfig(url: string): Knex.Config {
  const afterCreate = (connection: PostgresqlConnection, done: (error: Error | null, connection: unknown) => void) =>
    connection.query(WAIT_FOR_COMMITS, (error) => done(error, connection));
  return {
    ...{ client: 'pg', compileSqlOnError: false, log: SILENT },
    connection: {
      connectionString: url,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
      application_name: 'optistore',
    },
    pool: { min: 0, max: POSTGRESQL_CONNECTIONS_MAX, afterCreate },
    acquireConnectionTimeout: ACQUIRE_TIMEOUT_MS,
  };
}
