import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend } from '../../backends/backend.js';
import { isSameRevision } from '../../backends/revisions.js';
import { toStorageError, type StorageError } from '../../errors.js';
import { rowsOf } from '../read-whole.js';
import { newestOf } from '../repair/repair-copy.js';
import { secondaryOf } from '../stores.js';
import { tellProgress } from '../tell-progress.js';
import { damagedKeysOf } from '../verification/walk-keys.js';
import type { Between } from './between.js';
import { isOfOneResult } from './failures.js';

/** How far it is. */
export interface UpToDateProgress {
  /** What was looked at last; empty before the first. */
  readonly key: string;
  /** Results and deletions that were looked at. */
  readonly doneCount: number;
  /** In all, as far as is known; 0 where it is not. */
  readonly totalCount: number;
  /** Results and deletions that the secondary lacked. */
  readonly copiedCount: number;
  /** Why this one could not be copied; the others go on. */
  readonly failure?: StorageError;
}

/** Changes that are held at once: their keys alone. */
const CHANGES_AT_ONCE = 1000;

/**
 * Copies to the secondary what it lacks of the primary's results and deletions, in the order of their changes, and tells at least every
 * second how far it is. From then on the changes of these keys are replicated. What was moved away from the primary is left alone. Ends
 * when everything is there that was there when it looked last; the same again goes on. NO_SECONDARY.
 */
export async function* bringUpToDate(
  between: Between,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<UpToDateProgress> {
  const catchingUp = new CatchingUp(between, prefix);
  const run = (running: AbortSignal) => catchingUp.run(running);
  yield* tellProgress(run, () => catchingUp.progress, 'The copying was broken off.', signal);
}

/** A secondary that is being brought up to date. */
export class CatchingUp {
  private readonly primary: StorageBackend;
  private readonly secondary: StorageBackend;
  private key = '';
  private doneCount = 0;
  private resultCount = 0;
  private copiedCount = 0;
  private readonly failed = new Set<string>();

  constructor(
    private readonly between: Between,
    private readonly prefix: string,
  ) {
    this.primary = between.stores.primary;
    this.secondary = secondaryOf(between.stores);
  }

  get progress(): UpToDateProgress {
    const { key, doneCount, copiedCount } = this;
    // Deletions and what changes meanwhile come on top.
    const totalCount = this.resultCount === 0 ? 0 : Math.max(this.resultCount, doneCount);
    return { key, doneCount, totalCount, copiedCount };
  }

  /** Keys that the secondary lacks still. */
  get failedCount(): number {
    return this.failed.size;
  }

  /** Tells of each that was copied or failed, and at last of the whole. */
  async *run(signal: AbortSignal): AsyncGenerator<UpToDateProgress> {
    if (this.prefix === '') this.resultCount = (await this.primary.stats(signal)).resultCount;
    // A key that was changed before its turn is met again, behind those that were there at the start. Once it is replicated, its
    // changes are copied by themselves: passes end when they meet none that was not.
    let after = 0n;
    for (let isBehind = true; isBehind;) {
      isBehind = false;
      const { newest } = await this.primary.changeNumbers(signal);
      for await (const change of this.changesUpTo(after, newest, signal)) {
        isBehind ||= !change.isReplicated;
        const told = await this.look(change.key, signal);
        if (told !== undefined) yield told;
      }
      after = newest;
    }
    // Among the changes they are not told of.
    for await (const key of damagedKeysOf(this.primary, this.prefix, signal)) {
      const told = await this.look(key, signal);
      if (told !== undefined) yield told;
    }
    yield this.progress;
  }

  private async *changesUpTo(after: bigint, newest: bigint, signal: AbortSignal): AsyncGenerator<Change> {
    for (let from = after; ;) {
      const changes: Change[] = [];
      for await (const manifest of this.primary.changes({ after: from }, signal)) {
        if (manifest.changeNumber > newest) break;
        changes.push(changeOf(manifest));
        if (changes.length === CHANGES_AT_ONCE) break;
      }
      for (const change of changes) if (change.key.startsWith(this.prefix)) yield change;
      const last = changes.at(-1);
      if (last === undefined || changes.length < CHANGES_AT_ONCE) return;
      from = last.changeNumber;
    }
  }

  private async look(key: string, signal: AbortSignal): Promise<UpToDateProgress | undefined> {
    this.key = key;
    try {
      const isCopied = await this.between.turns.run(key, signal, () => this.bring(key, signal));
      this.failed.delete(key);
      this.doneCount++;
      if (!isCopied) return undefined;
      this.copiedCount++;
      return this.progress;
    } catch (error) {
      const failure = toStorageError(error);
      if (!isOfOneResult(failure)) throw failure;
      this.doneCount++;
      this.failed.add(key);
      return { ...this.progress, failure };
    }
  }

  /** Says whether there was something to copy. */
  private async bring(key: string, signal: AbortSignal): Promise<boolean> {
    const { primary, secondary } = this;
    const source = await newestOf(primary, key, signal);
    if (source === undefined || source.kind === RevisionKind.MOVED) return false;
    const there = await newestOf(secondary, key, signal);
    const isLacking = there === undefined || !isSameRevision(source, there);
    if (isLacking) {
      await secondary.copyIn(source, rowsOf(primary, source), { replace: false }, signal);
    }
    // Nothing where it was changed meanwhile: it is met again.
    if (source.replication !== ReplicationState.DONE)
      await primary.setReplication(key, source.revision, ReplicationState.DONE, signal);
    return isLacking;
  }
}

interface Change {
  readonly key: string;
  readonly changeNumber: bigint;
  /** Further changes of it are replicated by themselves. */
  readonly isReplicated: boolean;
}

function changeOf({ key, changeNumber, kind, replication }: Manifest): Change {
  const isUnreplicated = replication === ReplicationState.NONE || replication === ReplicationState.UNSPECIFIED;
  return { key, changeNumber, isReplicated: kind === RevisionKind.MOVED || !isUnreplicated };
}
