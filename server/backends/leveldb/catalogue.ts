import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { milliseconds } from '../../times.js';
import type { BackendStats } from '../backend.js';
import { FactsIndex } from '../index/facts-index.js';
import { oldestOf } from '../revisions.js';
import type { IndexStore } from './index-store.js';
import { Totals, type TotalsPart } from './totals.js';

/** A newest revision or marker before and after a change; undefined: there is none. */
export interface Replaced {
  readonly before: Manifest | undefined;
  readonly after: Manifest;
}

/** What is known in memory of a store's newest results: how many there are, what filters ask of them, which wait to be replicated. */
export class Catalogue {
  readonly facts = new FactsIndex();
  /** Keys whose entries did not check when they were looked through, and whether the totals have them. */
  private readonly unreadable = new Map<string, boolean>();
  /** Change numbers of what is pending, and when it changed. */
  private readonly pending = new Map<bigint, number>();
  private resultCount = 0;
  private sizeBytes = 0;

  constructor(private readonly index: IndexStore) {}

  /** Begins with what the index says that there is, without a look at each; false where it does not say. */
  async begin(): Promise<boolean> {
    const totals = await this.index.takeTotals();
    if (totals === undefined) return false;
    for await (const manifest of this.index.changes(0n, true)) this.setPending(manifest);
    this.resultCount = totals.resultCount;
    this.sizeBytes = totals.sizeBytes;
    return true;
  }

  /** Counts what there is, one after the other. */
  add(manifest: Manifest): void {
    this.count(manifest, 1);
  }

  /** What was counted is kept from now on; not where entries can't be read: then it is counted at each start. */
  async counted(newestChange: bigint): Promise<void> {
    if (this.unreadable.size > 0) await this.index.forgetTotals();
    else await this.index.beginTotals(new Totals(this.resultCount, this.sizeBytes, newestChange));
  }

  /** Notes that the entry of a key does not check. */
  addUnreadable(key: string, isCounted: boolean): void {
    this.unreadable.set(key, isCounted);
    // What lists find by facts would lack it without a word.
    this.facts.giveUp();
  }

  get hasUnreadable(): boolean {
    return this.unreadable.size > 0;
  }

  /** What a change adds to the totals. */
  partOf({ before, after }: Replaced): TotalsPart {
    const [was, is] = [before, after].map((manifest) =>
      manifest?.kind === RevisionKind.COMMITTED ? manifest : undefined,
    );
    return {
      results: Number(is !== undefined) - Number(was !== undefined),
      bytes: Number(is?.sizeBytes ?? 0n) - Number(was?.sizeBytes ?? 0n),
      changeNumber: after.changeNumber,
    };
  }

  /** Takes a change that was made. */
  take({ before, after }: Replaced): void {
    this.unreadable.delete(after.key);
    if (before !== undefined) this.count(before, -1);
    this.count(after, 1);
  }

  /** What an entry was counted as that does not check and gives way to this one: the same, in all likelihood, if at all. */
  countedAs(manifest: Manifest): Manifest | undefined {
    return this.unreadable.get(manifest.key) === false ? undefined : manifest;
  }

  private count(manifest: Manifest, sign: 1 | -1): void {
    if (sign === 1) this.setPending(manifest);
    else this.pending.delete(manifest.changeNumber);
    if (manifest.kind !== RevisionKind.COMMITTED) return;
    if (sign === 1) this.facts.set(manifest);
    else this.facts.delete(manifest.key);
    this.resultCount += sign;
    this.sizeBytes += sign * Number(manifest.sizeBytes);
  }

  private setPending({ replication, changeNumber, updateTime }: Manifest): void {
    if (replication === ReplicationState.PENDING) this.pending.set(changeNumber, milliseconds(updateTime));
    else this.pending.delete(changeNumber);
  }

  /** Why not all that is stored can be had. */
  failure(): string | undefined {
    const { size } = this.unreadable;
    return size === 0 ? undefined : `${size} results can't be read: run \`optistore verify\`.`;
  }

  stats(): Pick<BackendStats, 'sizeBytes' | 'resultCount' | 'pendingCount' | 'oldestPendingMs'> {
    const { sizeBytes, resultCount, pending } = this;
    return { sizeBytes, resultCount, pendingCount: pending.size, oldestPendingMs: oldestOf(pending) };
  }
}
