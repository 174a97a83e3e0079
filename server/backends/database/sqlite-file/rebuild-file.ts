import { constants } from 'node:fs';
import { copyFile, link, open, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Knex } from 'knex';
import type { Manifest } from '../../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { codeOf, ifThere, syncDirectoryOf, syncFolder } from '../../files.js';
import { migrateToLatest } from '../migrations.js';
import { manifestOfRow, orDamaged, writeLookups, type ManifestRow } from '../result-rows.js';
import { manifestOfRevision, type RevisionRow } from '../revision-rows.js';
import { uploadChecks, type UploadRow } from '../upload-table.js';
import { sqliteConnection } from './sqlite-connection.js';

/** What is written here is synced at the end, or done again. */
const IN_PASSING = 'PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;';
/** What SQLite fails with in a damaged place; anything else is no reason to leave a row out. */
const IS_UNREADABLE = /^SQLITE_(CORRUPT|CONSTRAINT|MISMATCH|TOOBIG|NOMEM|ERROR)/;
/** Places of a table that are tried one by one, at most: each of its own costs a statement. */
const UNREAD_MAX = 200_000;
const NAMES_AT_ONCE = 4096;
const ROWS_AT_ONCE = 500;
/** Numbers that a lost row may have had are not given again. */
const SPARED_NUMBERS = 1000;
/** Tables that are copied row by row. Tags and best values are made from the manifests. */
const COPIED = ['results', 'revisions', 'segments', 'blocks', 'uploads', 'store'];

/**
 * Makes a new file of all that can be read of a damaged one, row by row, and puts that aside. A result or upload that only an index
 * still knows becomes an entry that does not check. Gives whether others may lack: neither the rows nor the index could be read whole.
 */
export async function rebuildFile(path: string, aside: string): Promise<boolean> {
  const fresh = `${path}-new`;
  for (const ending of ['', '-journal']) await rm(`${fresh}${ending}`, { force: true });
  const knex = sqliteConnection(fresh, IN_PASSING);
  let mayLack = false;
  try {
    await migrateToLatest(knex);
    await knex.raw('ATTACH ? AS old', [path]);
    await knex('store').delete();
    const unread = new Map<string, number>();
    for (const table of COPIED) unread.set(table, await copyTable(knex, table));
    for (const named of NAMED) {
      const isIndexWhole = await markLost(knex, named);
      mayLack ||= !isIndexWhole && (unread.get(named.table) ?? 0) > 0;
    }
    await makeLookups(knex);
    await knex.raw('DETACH old');
  } finally {
    await knex.destroy();
  }
  await putInPlace(path, fresh, aside);
  return mayLack;
}

/** Copies all rows of a table that can be read; gives how many places can't. */
async function copyTable(knex: Knex, table: string): Promise<number> {
  const known = await knex.raw<{ name: string; pk: number; type: string }[]>(
    `SELECT name, pk, type FROM pragma_table_info('${table}')`,
  );
  const hasNumber = known.some(({ pk, type }) => pk > 0 && type.toLowerCase() === 'integer');
  const columns = [...(hasNumber ? [] : ['rowid']), ...known.map(({ name }) => `"${name}"`)].join(', ');
  let unread = 0;
  const copy = async (from: number, to: number): Promise<void> => {
    try {
      await knex.raw(
        `INSERT OR IGNORE INTO main.${table} (${columns}) SELECT ${columns} FROM old.${table} NOT INDEXED WHERE rowid BETWEEN ${from} AND ${to}`,
      );
    } catch (error) {
      rethrowUnlessUnreadable(error);
      if (from === to || unread > UNREAD_MAX) return void unread++;
      const middle = from + Math.floor((to - from) / 2);
      await copy(from, middle);
      await copy(middle + 1, to);
    }
  };
  await copy(1, await greatestNumber(knex, table));
  return unread;
}

/** The greatest number of a row: by the table, its index or what SQLite has counted, whichever can be read. */
async function greatestNumber(knex: Knex, table: string): Promise<number> {
  const places = [
    `SELECT MAX(rowid) AS greatest FROM old.${table} NOT INDEXED`,
    `SELECT MAX(rowid) AS greatest FROM old.${table} INDEXED BY sqlite_autoindex_${table}_1`,
    `SELECT seq AS greatest FROM old.sqlite_sequence WHERE name = '${table}'`,
  ];
  for (const place of places)
    try {
      const [row] = await knex.raw<{ greatest: number | null }[]>(place);
      if (row !== undefined) return Math.min(row.greatest ?? 1, Number.MAX_SAFE_INTEGER);
    } catch (error) {
      rethrowUnlessUnreadable(error);
    }
  return UNREAD_MAX;
}

/** Makes an entry that does not check of each name that an index has and no row that could be read; gives whether it was read whole. */
async function markLost(knex: Knex, { table, name, checks, lost }: NamedTable): Promise<boolean> {
  await knex.raw('DROP TABLE IF EXISTS temp.names');
  await knex.raw('CREATE TEMP TABLE names (name TEXT, number INTEGER PRIMARY KEY)');
  const isWhole = await copyNames(knex, table, name, 'ASC');
  if (!isWhole) await copyNames(knex, table, name, 'DESC');
  // Either the index or the row has the wrong name: the one that does not check gives way.
  const misnamed = await knex.raw<{ number: number }[]>(
    `SELECT number FROM temp.names JOIN main.${table} AS kept ON kept.rowid = number WHERE kept.${name} <> names.name`,
  );
  for (const { number } of misnamed) {
    const row: unknown = await knex(table).where('rowid', number).first();
    if (checks(row)) await knex.raw('DELETE FROM temp.names WHERE number = ?', [number]);
    else await knex(table).where('rowid', number).delete();
  }
  const names = await knex.raw<{ name: string }[]>(
    `SELECT DISTINCT name FROM temp.names WHERE typeof(name) = 'text' AND name NOT IN (SELECT ${name} FROM main.${table})`,
  );
  const rows = names.map((found, i) => lost(found.name, i));
  for (let i = 0; i < rows.length; i += ROWS_AT_ONCE) await knex(table).insert(rows.slice(i, i + ROWS_AT_ONCE));
  return isWhole;
}

/** Copies the names that a table's index has, with the numbers of their rows, from one end as far as it can be read. */
async function copyNames(knex: Knex, table: string, name: string, direction: 'ASC' | 'DESC'): Promise<boolean> {
  let count = 0;
  for (let limit = NAMES_AT_ONCE; limit >= 1;)
    try {
      const some = `SELECT ${name}, rowid FROM old.${table} INDEXED BY sqlite_autoindex_${table}_1 ORDER BY ${name} ${direction}`;
      await knex.raw(`INSERT OR IGNORE INTO temp.names SELECT * FROM (${some} LIMIT ${limit} OFFSET ${count})`);
      const [read] = await knex.raw<{ count: number }[]>(
        `SELECT COUNT(*) AS count FROM (${some} LIMIT ${limit} OFFSET ${count})`,
      );
      if ((read?.count ?? 0) < limit) return true;
      count += limit;
    } catch (error) {
      rethrowUnlessUnreadable(error);
      limit = Math.floor(limit / 2);
    }
  return false;
}

/** Makes the tables that results are looked up by, and sees to it that no number of rows is given again. */
async function makeLookups(knex: Knex): Promise<void> {
  let greatest = 0;
  const note = ({ segments }: Manifest) => {
    for (const { name } of segments) greatest = Math.max(greatest, Number(name));
  };
  for await (const row of rowsOf<ManifestRow>(knex, 'results')) {
    const manifest = orDamaged(() => manifestOfRow(row));
    if (manifest === undefined) continue;
    note(manifest);
    await writeLookups(AS_IT_IS, knex, manifest);
  }
  for await (const row of rowsOf<RevisionRow>(knex, 'revisions')) {
    const manifest = orDamaged(() => manifestOfRevision(row));
    if (manifest !== undefined) note(manifest);
  }
  for await (const row of rowsOf<UploadRow>(knex, 'uploads'))
    if (uploadChecks(row)) greatest = Math.max(greatest, Number(row.segment_id));
  await knex.raw('INSERT OR IGNORE INTO segments (id) SELECT DISTINCT segment_id FROM blocks');
  await knex.raw(
    `UPDATE sqlite_sequence SET seq = MAX(seq, ${greatest}) + ${SPARED_NUMBERS} WHERE name IN ('segments', 'revisions')`,
  );
}

const AS_IT_IS = { text: (value: string) => value };

/** Rows of a table by their numbers. */
async function* rowsOf<Row>(knex: Knex, table: string): AsyncGenerator<Row> {
  for (let after = 0; ;) {
    const rows = await knex(table)
      .where('rowid', '>', after)
      .orderBy('rowid')
      .limit(ROWS_AT_ONCE)
      .select<{ row_number: number }[]>(knex.raw('rowid AS row_number'), '*');
    for (const row of rows) yield row as Row;
    after = rows.at(-1)?.row_number ?? 0;
    if (rows.length < ROWS_AT_ONCE) return;
  }
}

/** Puts the new file in the place of the damaged one. A -wal that SQLite could not bring into that goes with it. */
async function putInPlace(path: string, fresh: string, aside: string): Promise<void> {
  {
    await using file = await open(fresh, 'r+');
    // Who could read the old one, and no others, reads the new one.
    await file.chmod((await stat(path)).mode & 0o777);
    await file.sync();
  }
  await ifThere(rename(`${path}-wal`, join(aside, `${basename(path)}-wal`)));
  const kept = join(aside, basename(path));
  await link(path, kept).catch(() => copyFile(path, kept, constants.COPYFILE_FICLONE));
  await syncFolder(aside);
  await rename(fresh, path);
  await syncDirectoryOf(path);
}

function rethrowUnlessUnreadable(error: unknown): void {
  if (!IS_UNREADABLE.test(codeOf(error) ?? '')) throw error;
}

/** A table whose rows have names, which its index has as well. */
interface NamedTable {
  readonly table: string;
  readonly name: string;
  readonly checks: (row: unknown) => boolean;
  /** An entry that does not check. */
  readonly lost: (name: string, number: number) => object;
}

const NONE = Buffer.alloc(0);
const NAMED: readonly NamedTable[] = [
  {
    ...{ table: 'results', name: 'key' },
    checks: (row) => orDamaged(() => manifestOfRow(row as ManifestRow)) !== undefined,
    lost: (key, number) => ({
      ...{ key, revision: 0, kind: 'COMMITTED', description: '', outcome: '', upload_id: '', replication: 'NONE' },
      ...{ create_time: 0, commit_time: 0, update_time: 0, row_count: 0, size_bytes: 0 },
      ...{ change_number: -1 - number, manifest: NONE, crc: -1 },
    }),
  },
  {
    ...{ table: 'uploads', name: 'upload_id' },
    checks: (row) => uploadChecks(row as UploadRow),
    lost: (upload_id) => ({
      ...{ upload_id, key: '', outcome: 'OPEN', is_copy: false, epoch: 0, segment_id: 0, row_count: 0, size_bytes: 0 },
      ...{ create_time_ms: 0, update_time_ms: 0, held_until_ms: 0, record: NONE, crc: -1 },
    }),
  },
];
