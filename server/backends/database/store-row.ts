import { StorageError } from '../../errors.js';
import type { Connection, Database } from './database.js';
import { rowCrc } from './row-crc.js';

/** The row of the store: counted as it changes, so that nothing need be counted through. */
export interface StoreRow {
  readonly changeNumber: bigint;
  readonly floor: bigint;
  readonly resultCount: number;
  readonly pendingCount: number;
  readonly sizeBytes: number;
}

/** The row as the database has it. */
export interface StoredRow {
  readonly change_number: number | string;
  readonly floor: number | string;
  readonly result_count: number | string;
  readonly pending_count: number | string;
  readonly size_bytes: number | string;
  readonly crc: number | string;
}

/** Where the row was damaged, numbers of changes go on behind some that may have been told. */
const SPARED_NUMBERS = 1000n;

/** The store's row. One that does not check is counted anew. */
export async function readStore(database: Database): Promise<StoreRow> {
  const row = await database.query((connection) => find(connection));
  return checked(row) ?? (await database.transact((connection) => lockStore(connection)));
}

/** Locks the store's row until the transaction ends: changes of all daemons become visible in the order of their numbers. */
export async function lockStore(connection: Connection): Promise<StoreRow> {
  const row = (await connection('store').where({ id: 1 }).forUpdate().first()) as StoredRow | undefined;
  return checked(row) ?? (await recount(connection));
}

/** Writes the row, which is locked. */
export async function writeStore(connection: Connection, row: StoreRow): Promise<void> {
  await connection('store')
    .insert({ id: 1, ...storedRow(row) })
    .onConflict('id')
    .merge();
}

/** The row's checksum. */
export function storeCrc(row: Omit<StoredRow, 'crc'>): number {
  return rowCrc([row.change_number, row.floor, row.result_count, row.pending_count, row.size_bytes]);
}

function storedRow({ changeNumber, floor, resultCount, pendingCount, sizeBytes }: StoreRow) {
  const row = {
    ...{ change_number: Number(changeNumber), floor: Number(floor) },
    ...{ result_count: resultCount, pending_count: pendingCount, size_bytes: sizeBytes },
  };
  return { ...row, crc: storeCrc(row) };
}

async function find(connection: Connection): Promise<StoredRow | undefined> {
  return (await connection('store').where({ id: 1 }).first()) as StoredRow | undefined;
}

function checked(row: StoredRow | undefined): StoreRow | undefined {
  if (row === undefined || storeCrc(row) !== Number(row.crc)) return undefined;
  const { change_number, floor, result_count, pending_count, size_bytes } = row;
  return {
    ...{ changeNumber: BigInt(change_number), floor: BigInt(floor), sizeBytes: Number(size_bytes) },
    ...{ resultCount: Number(result_count), pendingCount: Number(pending_count) },
  };
}

/** Counts anew what the row said that does not check. */
async function recount(connection: Connection): Promise<StoreRow> {
  const count = async (sql: string) => {
    const answer: unknown = await connection.raw(`SELECT CAST(COALESCE(${sql}, 0) AS BIGINT) AS counted`);
    const [row] = (Array.isArray(answer) ? answer : (answer as { rows: unknown[] }).rows) as { counted: number }[];
    return Number(row?.counted);
  };
  const newest = await count('(SELECT MAX(change_number) FROM results)');
  if (!Number.isSafeInteger(newest))
    throw new StorageError(
      'RESULT_CORRUPT',
      "The store's numbers of changes do not check: its disk or file is damaged. Restore the store from a backup.",
    );
  const row: StoreRow = {
    changeNumber: BigInt(newest) + SPARED_NUMBERS,
    floor: 0n,
    resultCount: await count("(SELECT COUNT(*) FROM results WHERE kind = 'COMMITTED')"),
    pendingCount: await count("(SELECT COUNT(*) FROM results WHERE replication = 'PENDING')"),
    sizeBytes:
      (await count('(SELECT SUM(block_bytes) FROM blocks)')) -
      (await count("(SELECT SUM(size_bytes) FROM uploads WHERE outcome = 'OPEN')")),
  };
  await writeStore(connection, row);
  return row;
}
