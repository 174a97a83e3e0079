import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { StorageError, throwIfCancelled } from '../../errors.js';
import type { ListOrder, ListQuery } from '../backend.js';
import { nanoseconds } from '../../times.js';
import { entryDamaged, resultNotFound, revisionNotFound } from '../result-errors.js';
import type { Connection, Database } from './database.js';
import { listPath, listSql } from './list-sql.js';
import type { ManifestRow, ResultRow } from './result-rows.js';
import { checkedManifest, MANIFEST_COLUMNS, manifestBytes, manifestOfResultRow, manifestOfRow } from './result-rows.js';
import { orDamaged, outlineOf, resultColumns, writeResult } from './result-rows.js';
import { manifestOfRevision, REVISION_COLUMNS, revisionRow, type RevisionRow } from './revision-rows.js';
import { lockStore, readStore, writeStore, type StoreRow } from './store-row.js';

/** A key's next manifest. */
export interface Next {
  readonly manifest: Manifest;
  /** Bytes of rows that become part of the store with it. */
  readonly addedBytes: number;
}

/** Decides what a key's next manifest is; undefined: none. Changes of its own are made together with it. */
export type Decide = (
  before: Manifest | undefined,
  connection: Connection,
  changeNumber: bigint,
) => Promise<Next | undefined>;

/** What a key has, or the outline of it. */
interface NewestOrOutline {
  readonly manifest: Manifest | undefined;
  readonly isOutline: boolean;
}

/** How many manifests are read at once: those of a page of the usual size, and the one that says that there is another. */
const CHUNK_MIN = 128;
const CHUNK_MAX = 256;

/** The results of a store: newest revisions and markers, older revisions, and the order of their changes. */
export class Results {
  constructor(private readonly database: Database) {}

  /** The newest revision or marker of a key. */
  async newest(key: string, connection?: Connection): Promise<Manifest | undefined> {
    const row = await this.rowOf(key, connection);
    return row && manifestOfResultRow(this.database, row);
  }

  /** The same; of one that does not check, what its columns say: not its rows. */
  private async newestOrOutline(key: string, connection?: Connection): Promise<NewestOrOutline> {
    const row = await this.rowOf(key, connection);
    const manifest = row && orDamaged(() => manifestOfResultRow(this.database, row));
    return { manifest: manifest ?? (row && outlineOf(row)), isOutline: manifest === undefined };
  }

  private async rowOf(key: string, connection?: Connection): Promise<ResultRow | undefined> {
    const ask = async (on: Connection): Promise<unknown> =>
      await on('results')
        .where({ key })
        .first(...resultColumns(on));
    return (await (connection === undefined ? this.database.query(ask) : ask(connection))) as ResultRow | undefined;
  }

  /** StorageBackend.stat. */
  async stat(key: string, revision: number | undefined): Promise<Manifest> {
    const newest = await this.newest(key);
    if (newest === undefined) throw resultNotFound(key);
    if (revision === undefined || newest.revision === BigInt(revision)) return newest;
    const older = await this.database.query(async (connection) => {
      const row: unknown = await connection('revisions')
        .where({ key, revision })
        .orderBy('id', 'desc')
        .first(...REVISION_COLUMNS);
      return row as RevisionRow | undefined;
    });
    if (older === undefined) throw revisionNotFound(key, revision, newest.revision);
    return manifestOfRevision(older);
  }

  /**
   * Makes what `decide` gives the key's newest, atomically and under the next change number. The row of the store is
   * locked meanwhile: changes of all daemons become visible in the order of their numbers.
   */
  publish(key: string, decide: Decide): Promise<Manifest> {
    const newest = async (connection: Connection) => ({
      manifest: await this.newest(key, connection),
      isOutline: false,
    });
    return this.publishOver(newest, decide);
  }

  /** The same over a newest revision whose manifest does not check: of that there is its outline, which is not kept. */
  overDamaged(): Pick<Results, 'newest' | 'publish'> {
    return {
      newest: async (key, connection) => (await this.newestOrOutline(key, connection)).manifest,
      publish: (key, decide) => this.publishOver((connection) => this.newestOrOutline(key, connection), decide),
    };
  }

  private async publishOver(
    newest: (connection: Connection) => Promise<NewestOrOutline>,
    decide: Decide,
  ): Promise<Manifest> {
    let made: Manifest | undefined;
    try {
      return await this.database.transact(async (connection) => {
        const store = await lockStore(connection);
        const changeNumber = store.changeNumber + 1n;
        const { manifest: before, isOutline } = await newest(connection);
        const next = await decide(before, connection, changeNumber);
        if (next === undefined) return before as Manifest;
        made = next.manifest;
        made.changeNumber = changeNumber;
        if (before?.kind === RevisionKind.COMMITTED && !isOutline) await this.keep(connection, before);
        await this.replace(connection, store, before, next);
        return made;
      });
    } catch (error) {
      const isUnknown = error instanceof StorageError && error.reason === 'BACKEND_UNAVAILABLE';
      if (made !== undefined && isUnknown && (await this.isMade(made))) return made;
      throw error;
    }
  }

  private async keep(connection: Connection, superseded: Manifest): Promise<void> {
    await connection('revisions').insert(revisionRow(superseded, Date.now()));
  }

  private async replace(
    connection: Connection,
    store: StoreRow,
    before: Manifest | undefined,
    { manifest, addedBytes }: Next,
  ): Promise<void> {
    await writeResult(this.database, connection, manifest);
    await writeStore(connection, {
      ...{ floor: store.floor, changeNumber: manifest.changeNumber, sizeBytes: store.sizeBytes + addedBytes },
      resultCount: store.resultCount + isResult(manifest) - isResult(before),
      pendingCount: store.pendingCount + isPending(manifest) - isPending(before),
    });
  }

  /** Whether a change was made whose connection was lost in its commit. */
  private async isMade(manifest: Manifest): Promise<boolean> {
    try {
      return await this.database.transact(async (connection) => {
        // A server that still is at the lost commit holds this lock.
        if ((await lockStore(connection)).changeNumber < manifest.changeNumber) return false;
        const newest = await this.newest(manifest.key, connection);
        return newest !== undefined && manifestBytes(newest).equals(manifestBytes(manifest));
      });
    } catch {
      return false;
    }
  }

  /** StorageBackend.list: in chunks, each asked for by the place of the last one before. */
  async *list(query: ListQuery, signal: AbortSignal): AsyncGenerator<Manifest> {
    let { after } = query;
    const path = await listPath(this.database, query);
    for (let limit = CHUNK_MIN; ; limit = Math.min(limit * 2, CHUNK_MAX)) {
      throwIfCancelled(signal);
      const { sql, bindings } = listSql(this.database, path, { ...query, ...(after && { after }) }, limit);
      const chunk = await this.database.query((connection) => rowsOf(connection, sql, bindings));
      for (const row of chunk) {
        throwIfCancelled(signal);
        const time = query.orderBy === 'key' ? 0n : BigInt(row[query.orderBy]);
        after = { key: row.key, time };
        const manifest = manifestOfRow(row, { time });
        if (query.orderBy !== 'key' && time !== timeOf(manifest, query.orderBy)) throw entryDamaged(row.key, time);
        yield manifest;
      }
      if (chunk.length < limit) return;
    }
  }

  /** StorageBackend.changes. */
  async *changes(query: { after: bigint; pending?: boolean }, signal: AbortSignal): AsyncGenerator<Manifest> {
    let { after } = query;
    const pending = query.pending === true ? "AND replication = 'PENDING'" : '';
    const sql = `SELECT ${MANIFEST_COLUMNS.join(', ')}, change_number FROM results WHERE change_number > CAST(? AS BIGINT) ${pending} ORDER BY change_number LIMIT ${CHUNK_MAX}`;
    for (;;) {
      throwIfCancelled(signal);
      const chunk = await this.database.query((connection) => rowsOf(connection, sql, [String(after)]));
      for (const row of chunk) {
        throwIfCancelled(signal);
        after = BigInt(row.change_number);
        const manifest = orDamaged(() => manifestOfRow(row));
        if (manifest !== undefined) yield manifest;
      }
      if (chunk.length < CHUNK_MAX) return;
    }
  }

  /** StorageBackend.changeNumbers. */
  async changeNumbers(): Promise<{ floor: bigint; newest: bigint }> {
    const { floor, changeNumber } = await readStore(this.database);
    return { floor, newest: changeNumber };
  }

  /** How many keys there are whose rows were lost, when a damaged file was made anew: no change has such a number. */
  async lostCount(): Promise<number> {
    const row = await this.database.query(
      async (connection) =>
        (await connection('results').where('change_number', '<', 0).count({ count: '*' }).first()) as unknown,
    );
    return Number((row as { count: number | string }).count);
  }

  /** StorageBackend.setReplication. */
  async setReplication(key: string, revision: bigint, state: ReplicationState): Promise<void> {
    await this.database.transact(async (connection) => {
      const store = await lockStore(connection);
      const manifest = await this.newest(key, connection);
      if (manifest?.revision !== revision || manifest.replication === state) return;
      const before = isPending(manifest);
      manifest.replication = state;
      const row = { replication: ReplicationState[state], ...checkedManifest(manifest) };
      await connection('results').where({ key }).update(row);
      await writeStore(connection, { ...store, pendingCount: store.pendingCount + isPending(manifest) - before });
    });
  }
}

/** A manifest and its places in lists; each list asks for those that it needs. */
interface ListedRow extends ManifestRow {
  readonly commit_time: string;
  readonly update_time: string;
  readonly change_number: number | string;
}

async function rowsOf(
  connection: Connection,
  sql: string,
  bindings: readonly (string | number)[],
): Promise<ListedRow[]> {
  const answer: unknown = await connection.raw(sql, [...bindings]);
  return (Array.isArray(answer) ? answer : (answer as { rows: unknown[] }).rows) as ListedRow[];
}

function timeOf(manifest: Manifest, orderBy: Exclude<ListOrder, 'key'>): bigint {
  return nanoseconds(orderBy === 'commit_time' ? manifest.commitTime : manifest.updateTime);
}

function isResult(manifest: Manifest | undefined): 0 | 1 {
  return manifest?.kind === RevisionKind.COMMITTED ? 1 : 0;
}

function isPending(manifest: Manifest | undefined): 0 | 1 {
  return manifest?.replication === ReplicationState.PENDING ? 1 : 0;
}
