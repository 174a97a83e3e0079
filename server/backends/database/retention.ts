import { RevisionKind, type Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { damagedKeyOf } from '../../errors.js';
import { ownSegments } from '../revisions.js';
import type { Connection, Database } from './database.js';
import type { Results } from './results.js';
import { manifestOfRevision, REVISION_COLUMNS, type RevisionRow } from './revision-rows.js';
import { lockStore, writeStore } from './store-row.js';
import { HELD_MS } from './upload-table.js';

const CHUNK = 100;
/** Blocks that one transaction removes: it must not keep the one connection of SQLite for long. */
const REMOVED_BLOCKS_MAX = 16;
/** A load that takes longer tells other daemons of itself. */
export const LEASE_AFTER_MS = 2000;
const LEASE_RENEWAL_MS = 20_000;

interface OldRevision extends RevisionRow {
  readonly id: number | string;
}

/** Rows that are no longer needed: when they may go, and how. */
export class Retention {
  private readonly readers = new Map<string, number>();

  constructor(
    private readonly database: Database,
    private readonly results: Results,
    private readonly retentionMs: number,
  ) {}

  /** Keeps a revision's rows until what is returned is disposed of. */
  reading(manifest: Manifest): Disposable {
    const names = manifest.segments.map(({ name }) => name);
    for (const name of names) this.readers.set(name, (this.readers.get(name) ?? 0) + 1);
    let timer = setTimeout(() => renew(), LEASE_AFTER_MS).unref();
    const renew = () => {
      void this.lease(names).catch(() => undefined);
      timer = setTimeout(renew, LEASE_RENEWAL_MS).unref();
    };
    return {
      [Symbol.dispose]: () => {
        clearTimeout(timer);
        for (const name of names) {
          const readerCount = (this.readers.get(name) ?? 1) - 1;
          if (readerCount === 0) this.readers.delete(name);
          else this.readers.set(name, readerCount);
        }
      },
    };
  }

  private async lease(names: readonly string[]): Promise<void> {
    if (names.length === 0 || !this.database.isPostgresql) return;
    await this.database.query((connection) =>
      connection('segments')
        .whereIn('id', names.map(Number))
        .update({ read_until_ms: Date.now() + HELD_MS }),
    );
  }

  /** Removes revisions whose retention is over and nobody reads, then the rows that nothing needs any more. */
  async sweep(nowMs: number, retentionMs = this.retentionMs): Promise<void> {
    let after = 0;
    for (;;) {
      const due = await this.database.query((connection) =>
        connection('revisions')
          .where('superseded_ms', '<=', nowMs - retentionMs)
          .andWhere('id', '>', after)
          .orderBy('id')
          .limit(CHUNK)
          .select<OldRevision[]>('id', ...REVISION_COLUMNS),
      );
      for (const revision of due) await this.remove(revision).catch(unlessDamaged);
      after = Number(due.at(-1)?.id ?? 0);
      if (due.length < CHUNK) break;
    }
    await this.removeRows();
  }

  private async remove(revision: OldRevision): Promise<void> {
    const { id } = revision;
    const manifest = manifestOfRevision(revision);
    if (manifest.segments.some(({ name }) => this.readers.has(name))) return;
    await this.database.transact(async (connection) => {
      const store = await lockStore(connection);
      const own = ownSegments(manifest, await this.others(connection, manifest.key, Number(id)));
      const ids = own.map(({ name }) => Number(name));
      if (await isRead(connection, ids)) return;
      // Another daemon may have been quicker.
      if (
        (await connection('revisions')
          .where({ id: Number(id) })
          .delete()) === 0
      )
        return;
      if (ids.length === 0) return;
      await markRemoved(connection, ids);
      const removedBytes = own.reduce((bytes, { sizeBytes }) => bytes + Number(sizeBytes), 0);
      await writeStore(connection, { ...store, sizeBytes: store.sizeBytes - removedBytes });
    });
  }

  private async others(connection: Connection, key: string, id: number): Promise<Manifest[]> {
    const older = await connection('revisions')
      .where({ key })
      .andWhereNot({ id })
      .select<RevisionRow[]>(...REVISION_COLUMNS);
    const newest = await this.results.newest(key, connection);
    const others = older.map(manifestOfRevision);
    return newest?.kind === RevisionKind.COMMITTED ? [...others, newest] : others;
  }

  /** Removes the rows of segments that nothing needs. */
  private async removeRows(): Promise<void> {
    const removed = await this.database.query((connection) =>
      connection('segments')
        .where({ removed: true })
        .andWhereRaw('removed_id = id')
        .select<{ id: number | string }[]>('id'),
    );
    for (const { id } of removed) {
      while (await this.removeSome(Number(id)));
      await this.database.query((connection) =>
        connection('segments')
          .where({ id: Number(id) })
          .delete(),
      );
    }
  }

  private removeSome(segment_id: number): Promise<boolean> {
    return this.database.query(async (connection) => {
      const some = connection('blocks').where({ segment_id }).orderBy('first_row').limit(REMOVED_BLOCKS_MAX);
      const count = await connection('blocks')
        .where({ segment_id })
        .whereIn('first_row', some.select('first_row'))
        .delete();
      return count === REMOVED_BLOCKS_MAX;
    });
  }
}

/** Gives rows up that nothing needs. It is said twice: a bit that a disk flips removes no rows. */
export async function markRemoved(connection: Connection, ids: readonly number[]): Promise<void> {
  await connection('segments')
    .whereIn('id', [...ids])
    .update({ removed: true, removed_id: connection.ref('id') });
}

/** A superseded revision is kept where an entry of its key can't be read: that may have its rows. */
function unlessDamaged(error: unknown): void {
  if (damagedKeyOf(error) === undefined) throw error;
}

async function isRead(connection: Connection, ids: readonly number[]): Promise<boolean> {
  const reader: unknown = await connection('segments')
    .whereIn('id', [...ids])
    .andWhere('read_until_ms', '>', Date.now())
    .first('id');
  return reader !== undefined;
}
