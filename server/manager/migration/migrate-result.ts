import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend } from '../../backends/backend.js';
import { replicationAfter } from '../../backends/revisions.js';
import { StorageError, toStorageError } from '../../errors.js';
import { batchBytes, type Batch } from '../../rows/batch.js';
import { markMoved } from '../mark-moved.js';
import { noRows, readWhole } from '../read-whole.js';
import { newestOf } from '../repair/repair-copy.js';
import { storeOf, type Role } from '../stores.js';
import { tellProgress } from '../tell-progress.js';
import { checkKey, invalid } from '../validate.js';
import { UNHURRIED } from '../verification/pace.js';
import { verifyCopy } from '../verification/verify-copy.js';
import { keysOf } from '../verification/walk-keys.js';
import type { Between } from './between.js';
import { isOfOneResult } from './failures.js';

/** What to bring from one store to another: see MigrateResultRequest. */
export interface MigrationSpec {
  /** One result, or all of `from` whose keys begin so; all, where that is empty. */
  readonly what: { readonly key: string } | { readonly prefix: string };
  readonly from: Role;
  readonly to: Role;
  /** Copies instead of moving. */
  readonly keepSource: boolean;
}

/** How far a migration is. */
export interface MigrationProgress {
  /** The result that is on its way; empty before the first. */
  readonly key: string;
  readonly copiedRowCount: number;
  /** Rows of the copy that were read again. */
  readonly verifiedRowCount: number;
  readonly rowCount: number;
  readonly doneCount: number;
  /** Results in all; 0 where that is not known. */
  readonly totalCount: number;
  /** Bytes of rows that were copied, of all results. */
  readonly copiedBytes: number;
  /** The result where it is now: it is done. */
  readonly copy?: Manifest;
  /** Why this one was left where it is, and the others go on. */
  readonly failure?: StorageError;
}

/**
 * Brings results from one store to another, and tells at least every second how far it is. The copy is checked against the checksums
 * of its commit before it becomes visible, and a source is removed only after its copy was read once more as it was written: so a
 * result is whole in at least one place, whenever this is interrupted. The same again goes on: rows that have arrived are not copied
 * again. One of many that fails is told, and the others go on; a store that is down ends it.
 * RESULT_NOT_FOUND, NO_SECONDARY, VOLATILE_TARGET, REVISION_MISMATCH, RESULT_CORRUPT.
 */
export async function* migrateResults(
  between: Between,
  spec: MigrationSpec,
  signal: AbortSignal,
): AsyncGenerator<MigrationProgress> {
  const migration = new Migration(between, spec);
  const run = (running: AbortSignal) => migration.run(running);
  yield* tellProgress(run, () => migration.progress, 'The migration was broken off.', signal);
}

/** Results on their way. */
class Migration {
  private readonly from: StorageBackend;
  private readonly to: StorageBackend;
  /** What the target had before. */
  private before: Manifest | undefined;
  private totalCount = 0;
  private doneCount = 0;
  private copiedBytes = 0;
  private current = { key: '', copiedRowCount: 0, verifiedRowCount: 0, rowCount: 0 };

  constructor(
    private readonly between: Between,
    private readonly spec: MigrationSpec,
  ) {
    const { what, from, to, keepSource } = spec;
    if ('key' in what) checkKey(what.key);
    if (from === to) throw invalid(`from and to are both the ${from}; a migration needs two stores`);
    this.from = storeOf(between.stores, from);
    this.to = storeOf(between.stores, to);
    if (keepSource || this.to.capabilities.durable) return;
    throw new StorageError(
      'VOLATILE_TARGET',
      `The ${to} keeps results in memory only: moved there, they would be gone with the daemon. Say keep_source (\`--keep\`) to copy them.`,
    );
  }

  get progress(): MigrationProgress {
    const { current, doneCount, totalCount, copiedBytes } = this;
    return { ...current, doneCount, totalCount, copiedBytes };
  }

  async *run(signal: AbortSignal): AsyncGenerator<MigrationProgress> {
    const { what } = this.spec;
    if ('key' in what) {
      this.totalCount = 1;
      yield await this.migrate(what.key, signal);
      return;
    }
    if (what.prefix === '') this.totalCount = (await this.from.stats(signal)).resultCount;
    for await (const key of keysOf(this.from, what.prefix, signal)) {
      const told = await this.migrateOneOfMany(key, signal);
      if (told !== undefined) yield told;
    }
  }

  private async migrateOneOfMany(key: string, signal: AbortSignal): Promise<MigrationProgress | undefined> {
    try {
      return await this.migrate(key, signal);
    } catch (error) {
      const failure = toStorageError(error);
      // Deleted since it was listed: there is nothing to migrate.
      if (failure.reason === 'RESULT_NOT_FOUND') return undefined;
      if (!isOfOneResult(failure)) throw failure;
      return { ...this.progress, failure };
    }
  }

  private migrate(key: string, signal: AbortSignal): Promise<MigrationProgress> {
    this.current = { key, copiedRowCount: 0, verifiedRowCount: 0, rowCount: 0 };
    return this.between.turns.run(key, signal, () => this.migrateInTurn(key, signal));
  }

  private async migrateInTurn(key: string, signal: AbortSignal): Promise<MigrationProgress> {
    const source = await newestOf(this.from, key, signal);
    if (source?.kind === RevisionKind.COMMITTED) {
      this.current.rowCount = Number(source.rowCount);
      this.before = await newestOf(this.to, key, signal);
      await this.throwIfHidden(source, signal);
      return this.done(await this.transfer(source, signal));
    }
    const arrived = await this.arrived(source, signal);
    if (arrived === undefined) throw this.notThere(key, source);
    this.current.rowCount = Number(arrived.rowCount);
    return this.done(arrived);
  }

  private done(copy: Manifest): MigrationProgress {
    this.doneCount++;
    this.current.copiedRowCount = this.current.rowCount;
    return { ...this.progress, copy };
  }

  /** What was moved before: an answer may have been lost. */
  private async arrived(source: Manifest | undefined, signal: AbortSignal): Promise<Manifest | undefined> {
    if (source?.kind !== RevisionKind.MOVED || this.spec.keepSource) return undefined;
    const copy = await newestOf(this.to, source.key, signal);
    return copy?.kind === RevisionKind.COMMITTED && copy.revision >= source.revision ? copy : undefined;
  }

  /** The secondary serves what the primary has not: not what the primary has an older revision of, or has deleted. */
  private async throwIfHidden({ key, revision }: Manifest, signal: AbortSignal): Promise<void> {
    if (this.spec.to !== 'secondary' || this.spec.from === 'primary') return;
    const inPrimary = await newestOf(this.between.stores.primary, key, signal);
    if (inPrimary === undefined || inPrimary.kind === RevisionKind.MOVED || inPrimary.revision >= revision) return;
    throw new StorageError(
      'REVISION_MISMATCH',
      `The primary has revision ${inPrimary.revision} of "${key}", which would hide revision ${revision} in the secondary. Migrate it to the primary, and from there.`,
      { metadata: { revision: String(inPrimary.revision) } },
    );
  }

  private notThere(key: string, source: Manifest | undefined): StorageError {
    const { from } = this.spec;
    const why = source?.kind === RevisionKind.MOVED ? 'it was moved elsewhere' : 'it was deleted';
    return new StorageError(
      'RESULT_NOT_FOUND',
      `The ${from} has no "${key}"${source === undefined ? '' : `: ${why}, at revision ${source.revision}`}. Check the key, and which store has it.`,
    );
  }

  private async transfer(source: Manifest, signal: AbortSignal): Promise<Manifest> {
    const copy = await this.copy(source, signal);
    if (this.spec.to === 'primary') await this.replicate(copy, signal);
    if (this.spec.to === 'secondary' && this.spec.from === 'cache')
      await markMoved(this.between.stores.primary, copy, signal);
    if (this.spec.keepSource) await this.throwIfDeleted(source, signal);
    else await this.removeSource(source, signal);
    return copy;
  }

  /** A copy says of itself that it is not replicated; but a key that was stays so. */
  private async replicate({ key, revision }: Manifest, signal: AbortSignal): Promise<void> {
    const { from } = this.spec;
    const wasReplicated = from === 'cache' && replicationAfter(this.before) === ReplicationState.PENDING;
    if (wasReplicated || this.between.mirroring.isOn)
      await this.to.setReplication(key, revision, ReplicationState.PENDING, signal);
  }

  /** A copy that checks: what was there already and does not is replaced. */
  private async copy(source: Manifest, signal: AbortSignal): Promise<Manifest> {
    const copy = await this.copyIn(source, false, signal);
    const isReadWhole = this.current.copiedRowCount === this.current.rowCount;
    // Every row went through the checks of its store; who keeps the source needs no more.
    if (this.spec.keepSource && isReadWhole) return copy;
    if ((await this.faultOf(copy, signal)) === undefined) return copy;
    const replaced = await this.copyIn(source, true, signal);
    const fault = await this.faultOf(replaced, signal);
    if (fault === undefined) return replaced;
    throw new StorageError(
      'RESULT_CORRUPT',
      `The copy of "${source.key}", revision ${source.revision}, in the ${this.spec.to} can't be read as it was written: ${fault}. The ${this.spec.from} keeps it.`,
    );
  }

  private copyIn(source: Manifest, replace: boolean, signal: AbortSignal): Promise<Manifest> {
    this.current.copiedRowCount = 0;
    const read = (firstRow: number, reading: AbortSignal) => this.counted(source, firstRow, reading);
    return this.to.copyIn(source, read, { replace }, signal);
  }

  private async *counted(source: Manifest, firstRow: number, signal: AbortSignal): AsyncGenerator<Batch> {
    for await (const batch of readWhole(this.from, source, firstRow, signal)) {
      yield batch;
      this.current.copiedRowCount += batch.rowCount;
      this.copiedBytes += batchBytes(batch);
    }
  }

  private async faultOf(copy: Manifest, signal: AbortSignal): Promise<string | undefined> {
    this.current.verifiedRowCount = 0;
    const { current, to } = this;
    const read: StorageBackend['read'] = async function* (...call) {
      for await (const batch of to.read(...call)) {
        yield batch;
        current.verifiedRowCount += batch.rowCount;
      }
    };
    try {
      return (await verifyCopy({ read }, copy, UNHURRIED, signal)).fault;
    } catch (error) {
      // Lost; or superseded and removed, which is found when it is to be replaced.
      if (toStorageError(error).reason === 'REVISION_NOT_FOUND') return 'its rows are gone';
      throw error;
    }
  }

  private async removeSource(source: Manifest, signal: AbortSignal): Promise<void> {
    const { from, to } = this.spec;
    // First, so that it is not forgotten by who is interrupted: until then the source is there to begin with again.
    if (from === 'secondary') await this.endReplication(source, signal);
    try {
      // Not deleted: a marker of a greater number would keep the result from coming back.
      await this.from.moveOut(source.key, Number(source.revision), signal);
    } catch (error) {
      const failure = toStorageError(error);
      if (failure.reason !== 'REVISION_MISMATCH') throw failure;
      await this.throwIfDeleted(source, signal);
      throw new StorageError(
        'REVISION_MISMATCH',
        `"${source.key}" was changed in the ${from} while revision ${source.revision} was moved, and is kept there. The ${to} has that revision: migrate again, or keep both.`,
        { cause: error, metadata: { ...failure.metadata, copy_revision: String(source.revision) } },
      );
    }
  }

  /** The secondary will no longer have what the primary takes for replicated. */
  private async endReplication({ key, revision }: Manifest, signal: AbortSignal): Promise<void> {
    const { primary } = this.between.stores;
    const replicated = await newestOf(primary, key, signal);
    if (replicated?.revision === revision && replicated.replication === ReplicationState.DONE)
      await primary.setReplication(key, revision, ReplicationState.NONE, signal);
  }

  /** Who deleted it meanwhile did not know of the copy: it goes as well. */
  private async throwIfDeleted(source: Manifest, signal: AbortSignal): Promise<void> {
    const newest = await newestOf(this.from, source.key, signal);
    if (newest?.kind !== RevisionKind.DELETED) return;
    try {
      await this.to.copyIn(newest, noRows, { replace: false }, signal);
    } catch (error) {
      // It was saved there anew, behind the deletion.
      if (toStorageError(error).reason !== 'REVISION_MISMATCH') throw error;
    }
    throw new StorageError('RESULT_NOT_FOUND', `"${source.key}" was deleted while it was copied.`);
  }
}
