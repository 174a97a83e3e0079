import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend, UploadSpec } from '../../backends/backend.js';
import { replicationAfter } from '../../backends/revisions.js';
import { StorageError, toStorageError } from '../../errors.js';
import { markMoved } from '../mark-moved.js';
import { noRows, rowsOf } from '../read-whole.js';
import { newestOf } from '../repair/repair-copy.js';
import type { Repairs } from '../repair/repairs.js';
import { isUnavailable, type RoleStore } from '../role-store.js';

/** For each attempt that fails the result went to the other store, or came back, at that very moment. */
const ATTEMPTS_MAX = 100;

type Annotation = Parameters<StorageBackend['annotate']>;

/** What the secondary has of a key that the primary has not: moved away, or lost. */
export interface Absent {
  readonly why: 'moved' | 'lost';
  readonly copy: Manifest;
  /** The revision that the primary's marker says. */
  readonly marked: bigint;
}

/**
 * Changes of keys that only the secondary has: moved there on purpose, or lost by the primary. Their revisions grow in one
 * order over both stores.
 */
export class AbsentResults {
  constructor(
    private readonly primary: RoleStore,
    private readonly secondary: RoleStore,
    private readonly repairs: Repairs,
  ) {}

  /**
   * What the secondary has of a key that the primary has not: 'moved' away, or 'lost'. Undefined: the primary has it, or neither; or
   * the secondary can't be asked, which fails where what was moved there `isNeeded`: it is known to be there. BACKEND_UNAVAILABLE.
   */
  async find(key: string, isNeeded: boolean, signal: AbortSignal): Promise<Absent | undefined> {
    const newest = await newestOf(this.primary, key, signal);
    if (newest !== undefined && newest.kind !== RevisionKind.MOVED) return undefined;
    try {
      const copy = await newestOf(this.secondary, key, signal);
      if (copy === undefined || copy.kind === RevisionKind.MOVED) return undefined;
      return { why: newest === undefined ? 'lost' : 'moved', copy, marked: newest?.revision ?? 0n };
    } catch (error) {
      if (!isUnavailable(error) || (isNeeded && newest !== undefined)) throw error;
      return undefined;
    }
  }

  /** Acts on a key where it is; once more where it went to the other store at that very moment. BACKEND_UNAVAILABLE where it always does. */
  async whereItIs<T>(
    key: string,
    isNeeded: boolean,
    signal: AbortSignal,
    act: (absent: Absent | undefined) => Promise<T>,
  ): Promise<T> {
    let absent = await this.find(key, isNeeded, signal);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      try {
        return await act(absent);
      } catch (error) {
        if (toStorageError(error).reason !== 'RESULT_NOT_FOUND') throw error;
        const now = await this.find(key, isNeeded, signal);
        if (now?.why === absent?.why) throw error;
        absent = now;
      }
    }
    throw neverStays(key);
  }

  /**
   * Begins or ends a save, prepared by prepareSave; once more where what it builds on went to the secondary behind that.
   * BACKEND_UNAVAILABLE where it always does.
   */
  async prepared<T>(spec: UploadSpec, signal: AbortSignal, act: () => Promise<T>): Promise<T> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      await this.prepareSave(spec, signal);
      try {
        return await act();
      } catch (error) {
        const { reason } = toStorageError(error);
        if (reason !== 'RESULT_NOT_FOUND' && reason !== 'REVISION_MISMATCH') throw error;
        if ((await this.find(spec.key, true, signal)) === undefined) throw error;
      }
    }
    throw neverStays(spec.key);
  }

  /**
   * Before a save is opened, and before it is committed: its revision must follow upon the secondary's. A save that builds on what
   * is there (an append, an expected revision) brings it back to the primary first, and so does any save of a key that was lost.
   */
  private async prepareSave({ key, append, expectedRevision }: UploadSpec, signal: AbortSignal): Promise<void> {
    const buildsOnIt = append || expectedRevision !== undefined;
    const absent = await this.find(key, buildsOnIt, signal);
    if (absent === undefined) return;
    const { why, copy, marked } = absent;
    if (why === 'lost') return this.repairs.repair(key, false, signal);
    if (copy.kind === RevisionKind.COMMITTED && !buildsOnIt) {
      if (marked < copy.revision) await markMoved(this.primary, copy, signal);
      return;
    }
    await this.primary.copyIn(copy, rowsOf(this.secondary, copy), { replace: false }, signal);
  }

  /** Changes a result that was moved, where it is; one that was lost is brought back first. */
  async annotate(why: 'moved' | 'lost', ...call: Annotation): Promise<Manifest> {
    const [key, , , signal] = call;
    if (why === 'lost') {
      await this.repairs.repair(key, false, signal);
      return this.primary.annotate(...call);
    }
    const manifest = await this.secondary.annotate(...call);
    await markMoved(this.primary, manifest, signal);
    return manifest;
  }

  /** Deletes it where it is; the primary gets the same marker. */
  async delete(key: string, expectedRevision: number | undefined, signal: AbortSignal): Promise<number> {
    const revision = await this.secondary.delete(key, expectedRevision, signal);
    const marker = await this.secondary.stat(key, revision, signal);
    await this.primary.copyIn(marker, noRows, { replace: false }, signal);
    return revision;
  }

  /**
   * Before a deletion: where the secondary has a copy of a result that is not replicated, or may have one, the deletion is
   * replicated, so that the copy goes as well. Said before it is made: a crash in between forgets nothing.
   */
  async prepareDelete(key: string, expectedRevision: number | undefined, signal: AbortSignal): Promise<void> {
    const newest = await newestOf(this.primary, key, signal);
    if (newest?.kind !== RevisionKind.COMMITTED || replicationAfter(newest) === ReplicationState.PENDING) return;
    // It is about to be refused.
    if (expectedRevision !== undefined && expectedRevision !== Number(newest.revision)) return;
    const hasNone = await newestOf(this.secondary, key, signal).then(
      (copy) => copy?.kind !== RevisionKind.COMMITTED,
      () => false,
    );
    if (!hasNone) await this.primary.setReplication(key, newest.revision, ReplicationState.PENDING, signal);
  }
}

/** The error for a key that is never where it was a moment ago. */
function neverStays(key: string): StorageError {
  return new StorageError(
    'BACKEND_UNAVAILABLE',
    `"${key}" goes from store to store all the time: nothing was changed. Try again when it stays in one.`,
  );
}
