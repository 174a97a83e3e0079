import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ManifestSchema, RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { Outcome, ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { damagedKeyOf } from '../../errors.js';
import { nanoseconds, timestampOf } from '../../times.js';
import { entryDamaged } from '../result-errors.js';
import type { Connection, Database } from './database.js';

/** Rows of one INSERT: databases bound the number of values. */
const INSERT_ROWS_MAX = 500;

/** A manifest as it is kept. */
export function manifestBytes(manifest: Manifest): Buffer {
  return asBuffer(toBinary(ManifestSchema, manifest));
}

/** A row that has a manifest. */
export interface ManifestRow {
  readonly key: string;
  readonly revision: number | string;
  readonly manifest: Uint8Array;
}

/** The columns of a ManifestRow. */
export const MANIFEST_COLUMNS = ['key', 'revision', 'manifest'] as const;

/** What manifestBytes kept. RESULT_CORRUPT where it is not that; `time` is then its place in a list. */
export function manifestOfRow({ key, revision, manifest: bytes }: ManifestRow, time?: bigint): Manifest {
  const manifest = decoded(bytes);
  if (manifest?.key !== key || manifest.revision !== BigInt(revision)) throw entryDamaged(key, time);
  return manifest;
}

/** Nothing instead of a manifest that does not check. */
export function manifestUnlessDamaged(row: ManifestRow): Manifest | undefined {
  try {
    return manifestOfRow(row);
  } catch (error) {
    if (damagedKeyOf(error) === undefined) throw error;
    return undefined;
  }
}

/** A row of a result or a marker, with the columns that say which one it is. */
export interface OutlinedRow extends ManifestRow {
  readonly kind: string;
  readonly upload_id: string;
  readonly update_time: string;
  readonly replication: string;
}

/** Which revision or marker a row has whose manifest does not check, by its columns. It has no rows. */
export function outlineOf({ key, revision, kind, upload_id, update_time, replication }: OutlinedRow): Manifest {
  return create(ManifestSchema, {
    ...{ key, revision: BigInt(revision), uploadId: upload_id, updateTime: timestampOf(BigInt(update_time)) },
    kind: RevisionKind[kind as keyof typeof RevisionKind],
    replication: ReplicationState[replication as keyof typeof ReplicationState],
  });
}

function decoded(bytes: Uint8Array): Manifest | undefined {
  try {
    return fromBinary(ManifestSchema, bytes);
  } catch {
    return undefined;
  }
}

/** Bytes as the drivers take them: a view, not a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Writes a key's newest revision or marker, with all that is asked of it in SQL. */
export async function writeResult(database: Database, connection: Connection, manifest: Manifest): Promise<void> {
  const { row, tags, best } = rowsOfResult(database, manifest);
  await connection('results').insert(row).onConflict('key').merge();
  await connection('tags').where({ key: row.key }).delete();
  await connection('best').where({ key: row.key }).delete();
  await insertMany(connection, 'tags', tags);
  await insertMany(connection, 'best', best);
}

/** The rows that a key's newest revision or marker has in each table. */
export function rowsOfResult(database: Database, manifest: Manifest) {
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

function resultRow(database: Database, manifest: Manifest) {
  const { problem } = manifest;
  return {
    key: manifest.key,
    revision: Number(manifest.revision),
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
    manifest: manifestBytes(manifest),
  };
}
