import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { knex, type Knex } from 'knex';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { PostgresServer } from '../backends/postgres.js';
import { campaign } from './campaign.js';
import { fill, type KnownStore } from './damaged-world.js';
import { checkStore } from './damaged-store.js';

/**
 * Columns that are changed behind the store's back; not those by which a row is found: what is under another name, or of another kind, is
 * not there for who asks.
 */
const COLUMNS: Readonly<Record<string, { numbers: string[]; texts: string[]; flags: string[]; bytes: string[] }>> = {
  results: {
    numbers: ['revision', 'create_time', 'commit_time', 'update_time', 'row_count', 'size_bytes', 'change_number'],
    texts: ['problem', 'solver', 'description', 'outcome', 'upload_id', 'replication'],
    flags: [],
    bytes: ['manifest'],
  },
  revisions: { numbers: ['revision', 'superseded_ms'], texts: ['key'], flags: [], bytes: ['manifest'] },
  uploads: {
    numbers: ['epoch', 'segment_id', 'row_count', 'size_bytes', 'create_time_ms', 'update_time_ms', 'held_until_ms'],
    texts: ['key', 'outcome', 'created_by'],
    flags: ['is_copy'],
    bytes: ['checkpoint', 'record'],
  },
  blocks: {
    numbers: ['first_row', 'row_count', 'header_bytes', 'block_bytes'],
    texts: [],
    flags: ['is_loose'],
    bytes: ['bytes'],
  },
  segments: { numbers: ['read_until_ms'], texts: [], flags: ['removed'], bytes: [] },
  store: {
    numbers: ['change_number', 'floor', 'result_count', 'pending_count', 'size_bytes'],
    texts: [],
    flags: [],
    bytes: [],
  },
};

/** A database of which each round gets a copy. */
interface Copied extends AsyncDisposable {
  /** The first: it is filled. */
  readonly filled: string;
  copy(number: number): Promise<string>;
  readonly config: (connection: string) => Knex.Config;
  /** What a row's own place is called, and is compared with. */
  readonly place: { readonly name: string; readonly value: string };
}

const KINDS: Readonly<Record<string, () => Promise<Copied>>> = {
  async sqlite() {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-rows-'));
    const at = (number: number | string) => join(folder, `${number}.db`);
    return {
      filled: `sqlite:///${at('filled')}`,
      async copy(number) {
        for (const ending of ['', '-seal']) await copyFile(`${at('filled')}${ending}`, `${at(number)}${ending}`);
        return `sqlite:///${at(number)}`;
      },
      config: (connection) => ({
        ...{ client: 'sqlite3', useNullAsDefault: true },
        connection: { filename: connection.slice('sqlite:///'.length) },
      }),
      place: { name: 'rowid', value: '?' },
      [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
    };
  },
  async postgresql() {
    const server = await PostgresServer.start();
    const filled = await server.createDatabase();
    return {
      filled,
      async copy(number) {
        await server.query('postgres', `CREATE DATABASE copy_${number} TEMPLATE ${new URL(filled).pathname.slice(1)}`);
        return server.url(`copy_${number}`);
      },
      config: (connection) => ({ client: 'pg', connection }),
      place: { name: 'ctid', value: '?::tid' },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  },
};

describe.each(Object.entries(KINDS))('%s', (name, open) => {
  let copied: Copied;
  let known: KnownStore;
  beforeAll(async () => {
    copied = await open();
    const store = await fill(() => openDatabaseBackend({ connection_string: copied.filled }));
    known = store.known;
    await store.backend[Symbol.asyncDispose]();
  });
  afterAll(() => copied[Symbol.asyncDispose]());

  test('a column of a row that is changed behind its back gives what is right, or says that it is damaged', async () => {
    await campaign(`changed columns: ${name}`, { short: 12, long: 1500 }, async (roll, number) => {
      const connection_string = await copied.copy(number);
      const how = await change(copied, connection_string, roll);
      try {
        await using store = await openDatabaseBackend({ connection_string });
        await store.sweep();
        const strict = { isReported: false, mayLackCommits: false, mayLackRows: false };
        const { right, corrupt } = await checkStore(store, known, strict);
        return right.length + corrupt.length;
      } catch (error) {
        throw new Error(`${how}: ${String(error)}`, { cause: error });
      }
    });
  });
});

/** Changes a column of one row, or lets two rows have each other's; says how. */
async function change({ config, place }: Copied, connection: string, roll: () => number): Promise<string> {
  const pick = <T>(some: readonly T[]) => some[Math.floor(roll() * some.length)] as T;
  const table = pick(Object.keys(COLUMNS));
  const { numbers, texts, flags, bytes } = COLUMNS[table] ?? { numbers: [], texts: [], flags: [], bytes: [] };
  const column = bytes.length > 0 && roll() < 0.4 ? pick(bytes) : pick([...numbers, ...texts, ...flags, ...bytes]);
  const database = knex(config(connection));
  try {
    const rows = await database(table)
      .orderBy(place.name)
      .select<{ place: unknown; value: unknown }[]>(database.raw(`${place.name} AS place`), `${column} AS value`);
    const [row, other] = [pick(rows), pick(rows)];
    const next = nextValue(database, column, { numbers, texts, flags }, row.value, other.value, roll);
    const changed = await database(table)
      .whereRaw(`${place.name} = ${place.value}`, [row.place as string])
      .update({ [column]: next as never })
      .catch((error: unknown) => `refused (${String(error)})`);
    return `${table}.${column} of the row at ${String(row.place)}, ${String(changed)} changed`;
  } finally {
    await database.destroy();
  }
}

function nextValue(
  database: Knex,
  column: string,
  { numbers, texts, flags }: { numbers: readonly string[]; texts: readonly string[]; flags: readonly string[] },
  value: unknown,
  other: unknown,
  roll: () => number,
): unknown {
  // Of numbers beyond what a double holds the database knows best.
  if (numbers.includes(column)) {
    const by = (roll() < 0.5 ? 1 : -1) * 2 ** Math.floor(roll() * 30);
    return database.raw(`${column} + ${by}`);
  }
  if (flags.includes(column)) return database.raw(`NOT ${column}`);
  if (roll() < 0.3) return other;
  if (texts.includes(column)) return roll() < 0.5 ? `${String(value)}x` : '';
  const bytes = Buffer.from((value as Uint8Array | null) ?? []);
  if (bytes.byteLength === 0 || roll() < 0.2) return Buffer.alloc(0);
  const at = Math.floor(roll() * bytes.byteLength);
  if (roll() < 0.2) return bytes.subarray(0, at);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(roll() * 8));
  return bytes;
}
