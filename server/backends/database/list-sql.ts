import type { Filter } from '../../filter/filter.js';
import type { ListOrder, ListPosition, ListQuery } from '../backend.js';
import type { Connection, Database } from './database.js';
import { filterSql, leadingBest, leadingTag, prefixSql, type SqlCondition } from './filter-sql.js';
import { MANIFEST_COLUMNS } from './result-rows.js';

/** What so few results have is looked up and sorted; beyond, results are looked through in the order asked for. */
const NARROW_COUNT_MAX = 2000;

/** Where a list begins to look. */
export interface ListPath {
  /** The table that is read first, and what of it; undefined: the results. */
  readonly lead:
    { readonly table: 'tags' | 'best'; readonly condition: SqlCondition; readonly rest: Filter } | undefined;
  /** Whether the prefix is looked up by the index of the keys. */
  readonly byPrefix: boolean;
}

/**
 * Chooses where a list begins. PostgreSQL knows how many results a condition holds for and is left the choice, but for tags, whose
 * own indexes have each order; SQLite does not know, so it is counted, up to a bound.
 */
export async function listPath(database: Database, { prefix, filter, orderBy }: ListQuery): Promise<ListPath> {
  const tag = leadingTag(filter);
  if (tag !== undefined) {
    const bindings = [database.text(tag.tag), database.text(tag.value)];
    const condition = { sql: 'lead.name = ? AND lead.value = ?', bindings };
    return { lead: { table: 'tags', condition, rest: tag.rest }, byPrefix: true };
  }
  if (database.isPostgresql) return { lead: undefined, byPrefix: true };
  const range = prefixSql('lead.key', prefix);
  const isPrefixNarrow = prefix !== '' && (await isNarrow(database, 'results', range));
  const best = isPrefixNarrow ? undefined : leadingBest(filter, (value) => database.text(value));
  if (best !== undefined && (await isNarrow(database, 'best', best.condition)))
    return { lead: { table: 'best', ...best }, byPrefix: false };
  return { lead: undefined, byPrefix: orderBy === 'key' || isPrefixNarrow };
}

async function isNarrow(database: Database, table: string, { sql, bindings }: SqlCondition): Promise<boolean> {
  const few = `SELECT 1 FROM ${table} AS lead WHERE ${sql} LIMIT ${NARROW_COUNT_MAX + 1}`;
  const counted = `SELECT COUNT(*) AS found FROM (${few})`;
  const ask = async (connection: Connection) => await connection.raw<{ found: number }[]>(counted, [...bindings]);
  const [row] = await database.query(ask);
  return (row?.found ?? 0) <= NARROW_COUNT_MAX;
}

/** A page of a list: what lies behind `after`, at most `limit`. */
export function listSql(
  database: Database,
  { lead, byPrefix }: ListPath,
  { prefix, filter, orderBy, descending, after }: ListQuery,
  limit: number,
): SqlCondition {
  // The tags have the order themselves.
  const ordered = lead?.table === 'tags' ? 'lead' : 'results';
  const rest = lead === undefined ? filter : lead.rest;
  // A sign keeps SQLite from looking the prefix up instead of reading in the order asked for.
  const prefixColumn = byPrefix ? `${ordered}.key` : `+${ordered}.key`;
  const conditions = [
    ...(lead === undefined ? [] : [lead.condition, { sql: 'results.key = lead.key', bindings: [] }]),
    { sql: "results.kind = 'COMMITTED'", bindings: [] },
    prefixSql(prefixColumn, prefix),
    ...(after === undefined ? [] : [behindSql(ordered, orderBy, descending, after)]),
    ...(rest === undefined ? [] : [filterSql(rest, (value) => database.text(value))]),
  ];
  const direction = descending ? 'DESC' : 'ASC';
  const order = orderBy === 'key' ? '' : `${ordered}.${orderBy} ${direction}, `;
  // SQLite reads the tables of a CROSS JOIN in the order in which they stand.
  const tables = lead === undefined ? 'results' : `${lead.table} AS lead CROSS JOIN results`;
  const where = conditions.map(({ sql }) => `(${sql})`).join(' AND ');
  // Nanoseconds are beyond what a double holds, which is what SQLite's driver makes of numbers: as text.
  const times = ['commit_time', 'update_time'].map((name) => `CAST(results.${name} AS TEXT) AS ${name}`);
  const columns = [...MANIFEST_COLUMNS.map((name) => `results.${name}`), ...times].join(', ');
  const sql = `SELECT ${columns} FROM ${tables} WHERE ${where} ORDER BY ${order}${ordered}.key ${direction} LIMIT ${limit}`;
  return { sql, bindings: conditions.flatMap(({ bindings }) => bindings) };
}

/** What lies behind a place. */
function behindSql(table: string, orderBy: ListOrder, descending: boolean, after: ListPosition): SqlCondition {
  const compared = descending ? '<' : '>';
  if (orderBy === 'key') return { sql: `${table}.key ${compared} ?`, bindings: [after.key] };
  return {
    sql: `(${table}.${orderBy}, ${table}.key) ${compared} (CAST(? AS BIGINT), ?)`,
    bindings: [String(after.time), after.key],
  };
}
