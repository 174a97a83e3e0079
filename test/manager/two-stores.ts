import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { knex, type Knex } from 'knex';
import { expect } from 'vitest';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationMode, ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { openDatabaseBackend, type DatabaseBackend } from '../../server/backends/database/database-backend.js';
import { openLeveldbBackend, type LeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { StorageError } from '../../server/errors.js';
import type { Stores } from '../../server/manager/stores.js';
import type { CheckedCopy, CopyRole } from '../../server/manager/verification/checked-copy.js';
import { verifyResults, type VerifySpec } from '../../server/manager/verification/verify-results.js';
import { damageDatabaseEntry, damageLeveldbEntry } from '../backends/damage.js';
import { KEEP, newest, rowsOf } from '../backends/suite-copies.js';
import { all, asText, lineRows, load, RUNNING, save } from '../backends/runs.js';

/** Rows of a result that lies in a file of its own. */
export const MANY = 50_000;

/** A LevelDB primary and a SQLite secondary in a folder, whose files a test damages. */
export class TwoStores implements AsyncDisposable {
  private readonly pinned = new MemoryBackend({ max_memory_mb: 1 });

  private constructor(
    private readonly folder: string,
    public primary: LeveldbBackend,
    public secondary: DatabaseBackend,
  ) {}

  static async make(): Promise<TwoStores> {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-two-stores-'));
    return new TwoStores(folder, await openPrimary(folder), await openSecondary(folder));
  }

  get stores(): Stores {
    const { primary, secondary, pinned } = this;
    return { primary, secondary, pinned };
  }

  /** Saves rows to the primary and copies them to the secondary, as replication does. */
  async saveToBoth(key: string, rowCount = MANY, factor = 1): Promise<Manifest> {
    await save(this.primary, key, [lineRows(0, rowCount, factor)], { replication: ReplicationMode.ASYNC });
    return this.replicate(key);
  }

  /** Copies the newest revision or marker to the secondary, as replication does. */
  async replicate(key: string): Promise<Manifest> {
    const source = await newest(this.primary, key);
    await this.secondary.copyIn(source, rowsOf(this.primary, source), KEEP, RUNNING);
    await this.primary.setReplication(key, source.revision, ReplicationState.DONE);
    return newest(this.primary, key);
  }

  /** What a verification tells of each copy. */
  verify(spec: Partial<VerifySpec> = {}): Promise<CheckedCopy[]> {
    return all(verifyResults(this.stores, { prefix: '', role: undefined, repair: false, ...spec }, RUNNING));
  }

  /** The same in short: `key role state`. */
  async told(spec: Partial<VerifySpec> = {}): Promise<string[]> {
    return (await this.verify(spec)).map(({ key, role, state }) => `${key} ${role} ${state}`);
  }

  /** Flips a bit of the last value of x, in the file that has a result's rows in the primary. */
  async flipInPrimary(key: string): Promise<void> {
    const { segments } = await newest(this.primary, key);
    await using file = await open(this.segmentPath(segments[0]?.name ?? ''), 'r+');
    // The head, then the first block: its header, x, f. Well inside of x.
    const at = 4096;
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
    await file.write(Buffer.of((buffer[0] ?? 0) ^ 1), 0, 1, at);
  }

  /** Flips a bit of a value of x in a blob of the secondary. */
  async flipInSecondary(key: string): Promise<void> {
    const { segments } = await newest(this.secondary, key);
    await this.inDatabase(async (database) => {
      const at = database('blocks').where({ segment_id: Number(segments[0]?.name), first_row: 0 });
      const { bytes } = await at.clone().first<{ bytes: Buffer }>('bytes');
      bytes[4096] = (bytes[4096] ?? 0) ^ 1;
      await at.update({ bytes });
    });
  }

  /** Removes the file that has a result's rows in the primary. */
  async loseInPrimary(key: string): Promise<void> {
    const { segments } = await newest(this.primary, key);
    await rm(this.segmentPath(segments[0]?.name ?? ''));
  }

  /** Damages what a store keeps of a key besides its rows. */
  async damageEntry(role: CopyRole, key: string): Promise<void> {
    if (role === 'secondary') {
      const connection = { filename: join(this.folder, 'secondary.db') };
      return damageDatabaseEntry({ client: 'sqlite3', connection, useNullAsDefault: true }, key);
    }
    await this.primary[Symbol.asyncDispose]();
    await damageLeveldbEntry(join(this.folder, 'primary'), key);
    this.primary = await openPrimary(this.folder);
  }

  private async inDatabase(act: (database: Knex) => Promise<void>): Promise<void> {
    const connection = { filename: join(this.folder, 'secondary.db') };
    const database = knex({ client: 'sqlite3', connection, useNullAsDefault: true });
    try {
      await act(database);
    } finally {
      await database.destroy();
    }
  }

  /** Throws a store away and opens an empty one in its place. */
  async empty(role: CopyRole): Promise<void> {
    await this[role][Symbol.asyncDispose]();
    if (role === 'primary') {
      await rm(join(this.folder, 'primary'), { recursive: true });
      this.primary = await openPrimary(this.folder);
    } else {
      for (const suffix of ['', '-wal', '-shm', '-seal'])
        await rm(join(this.folder, `secondary.db${suffix}`), { force: true });
      this.secondary = await openSecondary(this.folder);
    }
  }

  /** Opens a store anew, with the other one closed, and expects rows of lineRows in it. */
  async expectAlone(role: CopyRole, key: string, rowCount = MANY, factor = 1): Promise<void> {
    await this.primary[Symbol.asyncDispose]();
    await this.secondary[Symbol.asyncDispose]();
    {
      await using store: StorageBackend = await (role === 'primary' ? openPrimary : openSecondary)(this.folder);
      expect(asText(await load(store, await newest(store, key)))).toEqual(asText(lineRows(0, rowCount, factor)));
    }
    this.primary = await openPrimary(this.folder);
    this.secondary = await openSecondary(this.folder);
  }

  private segmentPath(name: string): string {
    return join(this.folder, 'primary', 'segments', name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.primary[Symbol.asyncDispose]();
    await this.secondary[Symbol.asyncDispose]();
    await this.pinned[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true });
  }
}

/** A store whose keys can't be looked up while `isDown` says so. */
export function unreachable(store: StorageBackend, isDown: () => boolean = () => true): StorageBackend {
  const stat: StorageBackend['stat'] = (...call) =>
    isDown() ? Promise.reject(new StorageError('BACKEND_UNAVAILABLE', 'down')) : store.stat(...call);
  return Object.create(store, { stat: { value: stat } }) as StorageBackend;
}

function openPrimary(folder: string): Promise<LeveldbBackend> {
  return openLeveldbBackend({ path: join(folder, 'primary'), revision_retention_ms: 0 });
}

function openSecondary(folder: string): Promise<DatabaseBackend> {
  const connection_string = `sqlite:///${join(folder, 'secondary.db')}`;
  return openDatabaseBackend({ connection_string, revision_retention_ms: 0 });
}
