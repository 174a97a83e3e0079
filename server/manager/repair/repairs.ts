import { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend } from '../../backends/backend.js';
import { StorageError } from '../../errors.js';
import { REPAIRS_WAITING_MAX } from '../../limits.js';
import { repairCopy } from './repair-copy.js';

/** What was repaired since the daemon started. */
export interface RepairCounts {
  readonly repairedCount: number;
  readonly failureCount: number;
}

/**
 * Repairs the primary from the secondary in the background, one key after the other: what was found lost or corrupt while it was
 * asked for. What can't be repaired now is found again when it is asked for again.
 */
export class Repairs implements AsyncDisposable {
  private readonly stopping = new AbortController();
  /** Keys that wait, and whether rows are there but bad. */
  private readonly waiting = new Map<string, boolean>();
  private running: Promise<void> | undefined;
  private repairedCount = 0;
  private failureCount = 0;

  constructor(
    private readonly primary: StorageBackend,
    private readonly secondary: StorageBackend,
  ) {}

  /** Asks for a key to be repaired, soon. */
  ask(key: string, isCorrupt: boolean): void {
    if (this.stopping.signal.aborted || this.waiting.size >= REPAIRS_WAITING_MAX) return;
    this.waiting.set(key, isCorrupt || this.waiting.get(key) === true);
    this.running ??= this.run();
  }

  /** Repairs a key now; does nothing where there is nothing to repair. */
  async repair(key: string, isCorrupt: boolean, signal: AbortSignal): Promise<void> {
    try {
      const copy = await repairCopy(this.secondary, this.primary, key, isCorrupt, signal);
      if (copy === undefined) return;
      this.repairedCount++;
      // The secondary has it: what follows upon it is replicated again.
      await this.primary.setReplication(key, copy.revision, ReplicationState.DONE, signal);
    } catch (error) {
      if (!signal.aborted) this.failureCount++;
      throw error;
    }
  }

  counts(): RepairCounts {
    const { repairedCount, failureCount } = this;
    return { repairedCount, failureCount };
  }

  /** Resolves when nothing waits any more. */
  async settled(): Promise<void> {
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    for (const [key, isCorrupt] of this.waiting) {
      if (signal.aborted) break;
      this.waiting.delete(key);
      await this.repair(key, isCorrupt, signal).catch(() => undefined);
    }
    // Here, and not when the promise settles: a key that is asked for in between would wait for the next one.
    this.running = undefined;
  }

  /** Stops; what waits is found again when it is asked for again. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stopping.abort(new StorageError('SHUTTING_DOWN', 'The daemon is stopping.'));
    await this.running;
  }
}
