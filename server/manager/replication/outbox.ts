import { ExponentialBackoff, type IBackoff } from 'cockatiel';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend } from '../../backends/backend.js';
import { StorageError, toStorageError, type Reason } from '../../errors.js';
import { OUTBOX_LEASE_MS, OUTBOX_POLL_MS, REPLICATION_RETRY_MS_MAX, REPLICATION_RETRY_MS_MIN } from '../../limits.js';
import { milliseconds } from '../../times.js';
import { rowsOf } from '../read-whole.js';
import { newestOf } from '../repair/repair-copy.js';
import { ChangeBell } from '../watch/change-bell.js';

/** What the outbox has done since the daemon started. */
export interface OutboxCounts {
  readonly copiedCount: number;
  readonly failureCount: number;
  /** Why the last attempt failed; empty: it did not. */
  readonly lastFailure: string;
}

/** The same attempt would fail again, until one of the two stores is changed. */
const LASTING: ReadonlySet<Reason> = new Set<Reason>(['RESULT_CORRUPT', 'REVISION_MISMATCH']);
const BACKOFF = new ExponentialBackoff({
  initialDelay: REPLICATION_RETRY_MS_MIN,
  maxDelay: REPLICATION_RETRY_MS_MAX,
});

/**
 * Copies to the secondary what the primary says is PENDING, one after the other in the order of their changes. The outbox itself
 * lies in the primary, written together with each change: nothing is held here, so nothing is lost with the process, and of a key that
 * was changed often only the newest is copied. A failure is tried again, with longer and longer pauses. Where several daemons share the
 * primary, each copies what it has changed itself, and what another one has left lying.
 */
export class Outbox implements AsyncDisposable {
  private readonly stopping = new AbortController();
  private readonly bell = new ChangeBell();
  private isRung = true;
  private running: Promise<void> | undefined;
  /** Of a shared primary: the newest changes that this daemon made and has not copied yet. */
  private readonly own = new Map<string, bigint>();
  private copiedCount = 0;
  private failureCount = 0;
  private lastFailure = '';

  constructor(
    private readonly primary: StorageBackend,
    private readonly secondary: StorageBackend,
    private readonly leaseMs = OUTBOX_LEASE_MS,
  ) {}

  /** Begins to copy, and goes on until it is disposed. */
  start(): void {
    this.running ??= this.run();
  }

  /** Says that something is pending; a change that this daemon made is its own to copy. */
  ring(own?: Manifest): void {
    if (own !== undefined && this.primary.capabilities.shared) this.own.set(own.key, own.revision);
    this.isRung = true;
    this.bell.ring();
  }

  /** What it has done. */
  counts(): OutboxCounts {
    const { copiedCount, failureCount, lastFailure } = this;
    return { copiedCount, failureCount, lastFailure };
  }

  /** Copies a change at once; false where it failed, and stays pending or is FAILED. */
  async copyNow(manifest: Manifest, signal: AbortSignal): Promise<boolean> {
    return (await this.tryCopy(manifest, AbortSignal.any([signal, this.stopping.signal]))) === 'done';
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    let backoff: IBackoff<unknown> | undefined;
    while (!signal.aborted) {
      this.isRung = false;
      const isDone = await this.pass().catch((error: unknown) => this.failed(error));
      if (isDone) {
        backoff = undefined;
        if (!this.isRung) await this.bell.wait(OUTBOX_POLL_MS, signal);
        continue;
      }
      // With jitter: daemons that share a store don't ask all at once.
      backoff = (backoff ?? BACKOFF).next(undefined);
      // A change that comes meanwhile is no reason to try again before the time.
      await new ChangeBell().wait(backoff.duration, signal);
    }
  }

  /** Copies all that is pending; false where some of it has to be tried again. */
  private async pass(): Promise<boolean> {
    const { signal } = this.stopping;
    let isDone = true;
    for await (const manifest of this.primary.changes({ after: 0n, pending: true }, signal)) {
      if (signal.aborted) return false;
      if (this.isLeased(manifest)) continue;
      const outcome = await this.tryCopy(manifest, signal);
      if (outcome === 'unreachable') return false;
      if (outcome === 'failed') isDone = false;
    }
    return isDone;
  }

  /** Whether another daemon on the same primary has made a change, and still has the time to copy it. */
  private isLeased({ key, revision, updateTime }: Manifest): boolean {
    if (!this.primary.capabilities.shared || this.own.get(key) === revision) return false;
    return Date.now() - milliseconds(updateTime) < this.leaseMs;
  }

  private async tryCopy(
    manifest: Manifest,
    signal: AbortSignal,
  ): Promise<'done' | 'lasting' | 'failed' | 'unreachable'> {
    const { key, revision } = manifest;
    try {
      await this.secondary.copyIn(manifest, rowsOf(this.primary, manifest), { replace: false }, signal);
      await this.primary.setReplication(key, revision, ReplicationState.DONE, signal);
      if (this.own.get(key) === revision) this.own.delete(key);
      this.copiedCount++;
      this.lastFailure = '';
      return 'done';
    } catch (error) {
      if (signal.aborted) return 'unreachable';
      const { reason } = toStorageError(error);
      // It was changed while it was copied: what it is now is pending by itself.
      if (await this.isSuperseded(manifest, signal)) return 'done';
      this.failed(error);
      if (LASTING.has(reason)) {
        this.own.delete(key);
        await this.primary.setReplication(key, revision, ReplicationState.FAILED, signal).catch(() => undefined);
        return 'lasting';
      }
      return reason === 'BACKEND_UNAVAILABLE' || reason === 'DISK_FULL' ? 'unreachable' : 'failed';
    }
  }

  private async isSuperseded({ key, revision }: Manifest, signal: AbortSignal): Promise<boolean> {
    try {
      return (await newestOf(this.primary, key, signal))?.revision !== revision;
    } catch {
      return false;
    }
  }

  private failed(error: unknown): false {
    if (this.stopping.signal.aborted) return false;
    this.failureCount++;
    this.lastFailure = toStorageError(error).message;
    return false;
  }

  /** Stops; what is pending stays so, for the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stopping.abort(new StorageError('SHUTTING_DOWN', 'The daemon is stopping.'));
    await this.running;
  }
}
