import { create } from '@bufbuild/protobuf';
import type { Knex } from 'knex';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ManifestSchema, RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { Outcome, ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { decode } from '../../messages/decode.js';
import { encode } from '../../messages/encode.js';
import { damagedKeyOf } from '../../errors.js';
import { nanoseconds, timestampOf } from '../../times.js';
import { entryDamaged } from '../result-errors.js';
import type { Connection, Database } from './database.js';
import { rowCrc } from './row-crc.js';

/** Rows of one INSERT: databases bound the number of values. */
const INSERT_ROWS_MAX = 500;

/** A manifest as it is kept. */
export function manifestBytes(manifest: Manifest): Buffer {
  return encode(ManifestSchema, manifest);
}

/** A manifest as it is kept, with what it is told by. */
export function checkedManifest(manifest: Manifest) {
  const row = { key: manifest.key, revision: Number(manifest.revision), manifest: manifestBytes(manifest) };
  return { ...row, crc: manifestCrc(row) };
}

/** A row that has a manifest. */
export interface ManifestRow {
  readonly key: string;
  readonly revision: number | string;
  readonly manifest: Uint8Array;
  readonly crc: number | string;
}

/** The columns of a ManifestRow. */
export const MANIFEST_COLUMNS = ['key', 'revision', 'manifest', 'crc'] as const;

/** The checksum of a row with a manifest: with its key and revision, so that it is taken for no other. */
export function manifestCrc({ key, revision, manifest }: Omit<ManifestRow, 'crc'>): number {
  return rowCrc([key, revision, manifest]);
}

/** What checkedManifest kept. RESULT_CORRUPT where it is not that; `time` is then its place in a list. */
export function manifestOfRow(
  row: ManifestRow,
  { time, crc = manifestCrc(row) }: { time?: bigint; crc?: number } = {},
): Manifest {
  const manifest = crc === Number(row.crc) ? decoded(row.manifest) : undefined;
  if (manifest?.key !== row.key || String(manifest.revision) !== String(row.revision))
    throw entryDamaged(row.key, time);
  return manifest;
}

function decoded(bytes: Uint8Array): Manifest | undefined {
  try {
    return decode(ManifestSchema, bytes);
  } catch {
    return undefined;
  }
}

/** A row of the table of results: all columns are text but the manifest, as numbers may be beyond what a double holds. */
export type ResultRow = ManifestRow & Readonly<Record<keyof ReturnType<typeof resultRow>, unknown>>;

/** The columns of a ResultRow. */
export function resultColumns(connection: Connection): (string | Knex.Raw)[] {
  const numbers = NUMBER_COLUMNS.map((name) => connection.raw(`CAST(${name} AS TEXT) AS ${name}`));
  return [...numbers, ...TEXT_COLUMNS, 'manifest', 'crc'];
}

const NUMBER_COLUMNS = [
  ...['revision', 'create_time', 'commit_time', 'update_time', 'row_count', 'size_bytes', 'change_number'],
];
const TEXT_COLUMNS = [...['key', 'kind', 'problem', 'solver', 'description', 'outcome', 'upload_id', 'replication']];

/** The manifest of a row whose other columns say the same: they are asked for it in SQL. RESULT_CORRUPT. */
export function manifestOfResultRow(database: Texts, row: ResultRow): Manifest {
  const manifest = manifestOfRow(row);
  const expected = resultRow(database, manifest);
  for (const name of [...NUMBER_COLUMNS, ...TEXT_COLUMNS] as (keyof typeof expected)[])
    if (String(row[name]) !== String(expected[name])) throw entryDamaged(row.key);
  return manifest;
}

/** Nothing instead of what does not check. */
export function orDamaged(read: () => Manifest): Manifest | undefined {
  try {
    return read();
  } catch (error) {
    if (damagedKeyOf(error) === undefined) throw error;
    return undefined;
  }
}

/** Which revision or marker a row has that does not check, by its columns. It has no rows. Undefined: not even they can be. */
export function outlineOf({
  key,
  revision,
  kind,
  upload_id,
  update_time,
  replication,
}: ResultRow): Manifest | undefined {
  const [number, time, kindNumber] = [String(revision), String(update_time), RevisionKind[kind as KindName]];
  if (!/^\d{1,15}$/.test(number) || !/^\d{1,19}$/.test(time) || kindNumber === undefined) return undefined;
  return create(ManifestSchema, {
    ...{ key, revision: BigInt(number), uploadId: String(upload_id), updateTime: timestampOf(BigInt(time)) },
    kind: kindNumber,
    replication: ReplicationState[replication as keyof typeof ReplicationState] ?? ReplicationState.NONE,
  });
}

type KindName = keyof typeof RevisionKind;

/** Bytes as the drivers take them: a view, not a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Text as a database can hold it. */
type Texts = Pick<Database, 'text'>;

/** Writes a key's newest revision or marker, with all that is asked of it in SQL. */
export async function writeResult(database: Texts, connection: Connection, manifest: Manifest): Promise<void> {
  const row = resultRow(database, manifest);
  await connection('results').insert(row).onConflict('key').merge();
  await connection('tags').where({ key: row.key }).delete();
  await connection('best').where({ key: row.key }).delete();
  await writeLookups(database, connection, manifest);
}

/** Writes the rows that a result is looked up by. */
export async function writeLookups(database: Texts, connection: Connection, manifest: Manifest): Promise<void> {
  const { tags, best } = rowsOfResult(database, manifest);
  await insertMany(connection, 'tags', tags);
  await insertMany(connection, 'best', best);
}

/** The rows that a key's newest revision or marker has in each table. */
export function rowsOfResult(database: Texts, manifest: Manifest) {
  const row = resultRow(database, manifest);
  if (manifest.kind !== RevisionKind.COMMITTED) return { row, tags: [], best: [] };
  const tags = Object.entries(manifest.tags).map(([name, value]) => ({
    ...{ key: row.key, name: database.text(name), value: database.text(value) },
    ...{ commit_time: row.commit_time, update_time: row.update_time },
  }));
  const best = manifest.columns.flatMap(({ name, best: value }) =>
    value === undefined ? [] : [{ key: row.key, objective: database.text(name), value }],
  );
  return { row, tags, best };
}

async function insertMany(connection: Connection, table: string, rows: readonly object[]): Promise<void> {
  for (let i = 0; i < rows.length; i += INSERT_ROWS_MAX)
    await connection(table).insert(rows.slice(i, i + INSERT_ROWS_MAX));
}

function resultRow(database: Texts, manifest: Manifest) {
  const { problem } = manifest;
  return {
    ...checkedManifest(manifest),
    kind: RevisionKind[manifest.kind],
    problem: problem === undefined ? null : database.text(problem.name),
    solver: problem === undefined ? null : database.text(problem.solver),
    description: database.text(manifest.description),
    outcome: Outcome[manifest.outcome],
    // Nanoseconds are beyond what a double holds: as text.
    create_time: String(nanoseconds(manifest.createTime)),
    commit_time: String(nanoseconds(manifest.commitTime)),
    update_time: String(nanoseconds(manifest.updateTime)),
    row_count: Number(manifest.rowCount),
    size_bytes: Number(manifest.sizeBytes),
    upload_id: manifest.uploadId,
    replication: ReplicationState[manifest.replication],
    change_number: Number(manifest.changeNumber),
  };
}
