import { RevisionKind, type Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { milliseconds, nanoseconds } from '../../times.js';
import type { ListOrder, ListPosition, ListQuery } from '../backend.js';
import { FactsIndex } from '../index/facts-index.js';
import { SortedPlaces } from '../index/sorted-places.js';
import { mayBegin } from './names.js';
import type { Slot } from './result-folders.js';

/** What is kept in memory of the newest slot of a key. */
export interface IndexEntry {
  readonly folder: string;
  readonly slot: number;
  /** See Manifest.change_number. */
  readonly number: bigint;
  /** Of a folder whose key nothing tells any more, its name. */
  readonly key: string;
  readonly isResult: boolean;
  /** What its slot says can't be read. */
  readonly isDamaged: boolean;
  readonly isPending: boolean;
  readonly updateTimeMs: number;
  readonly sizeBytes: number;
  /** Nanoseconds since 1970. */
  readonly times: Readonly<Record<ListOrder, bigint>>;
}

const ORDERS: readonly ListOrder[] = ['key', 'commit_time', 'update_time'];

/**
 * Which results there are and in which orders, in memory: what this process has read of the log of changes. Some 1 KiB a
 * result. What results say is read from their folders.
 */
export class ResultIndex {
  private readonly entries = new Map<string, IndexEntry>();
  private readonly folderOfKey = new Map<string, string>();
  private readonly places = new Map(ORDERS.map((order) => [order, new SortedPlaces()]));
  private readonly changePlaces = new SortedPlaces();
  private readonly facts = new FactsIndex();
  resultCount = 0;
  pendingCount = 0;
  sizeBytes = 0;

  /** What is known of a folder. */
  of(folder: string): IndexEntry | undefined {
    return this.entries.get(folder);
  }

  /** Takes what is the newest slot of a folder now. */
  set({ folder, number: slot, manifest }: Slot, number: bigint): void {
    this.delete(folder);
    const entry = entryOf(folder, slot, number, manifest);
    this.add(entry);
    if (entry.isResult) this.facts.set(manifest);
  }

  private add(entry: IndexEntry): void {
    this.entries.set(entry.folder, entry);
    this.folderOfKey.set(entry.key, entry.folder);
    this.changePlaces.add({ key: entry.key, time: entry.number });
    if (entry.isPending) this.pendingCount++;
    if (entry.isResult) this.resultCount++;
    this.sizeBytes += entry.sizeBytes;
    if (entry.isResult || entry.isDamaged)
      for (const [order, places] of this.places) places.add({ key: entry.key, time: entry.times[order] });
  }

  /** Takes that the newest slot of a key's folder does not check: lists come upon it where it is, or first where that is not known. */
  setDamaged(folder: string, slot: number, key: string, number: bigint): void {
    const times = this.entries.get(folder)?.times ?? { key: 0n, commit_time: 0n, update_time: 0n };
    this.delete(folder);
    const entry = {
      ...{ folder, slot, number, key, times, sizeBytes: 0, updateTimeMs: 0 },
      ...{ isResult: false, isDamaged: true, isPending: false },
    };
    this.add(entry);
    // What lists find by facts would lack it without a word.
    this.facts.giveUp();
  }

  /** Forgets a folder. */
  delete(folder: string): void {
    const entry = this.entries.get(folder);
    if (entry === undefined) return;
    this.entries.delete(folder);
    this.folderOfKey.delete(entry.key);
    this.changePlaces.remove({ key: entry.key, time: entry.number });
    if (entry.isPending) this.pendingCount--;
    if (entry.isResult) this.resultCount--;
    this.sizeBytes -= entry.sizeBytes;
    if (!entry.isResult && !entry.isDamaged) return;
    this.facts.delete(entry.key);
    for (const [order, places] of this.places) places.remove({ key: entry.key, time: entry.times[order] });
  }

  /** Results that a query may be about, in its order: where facts can't tell, those with its prefix. Goes with what changes meanwhile. */
  *list(query: ListQuery): Generator<IndexEntry> {
    const { prefix, orderBy, descending, after } = query;
    const keys = this.facts.keys(query) ?? walk(this.places.get(orderBy) as SortedPlaces, after, descending);
    for (const key of keys) {
      const entry = this.ofKey(key);
      if (entry !== undefined && isBelow(entry, prefix)) yield entry;
    }
  }

  /** Newest changes behind a number, in order. Goes with what changes meanwhile. */
  *changes(after: bigint): Generator<IndexEntry> {
    // Behind every key of that number.
    const start = { key: '\u{10ffff}', time: after };
    for (const key of walk(this.changePlaces, start, false)) {
      const entry = this.ofKey(key);
      if (entry !== undefined) yield entry;
    }
  }

  /** When the first change that waits to be replicated was made. */
  oldestPendingMs(): number | undefined {
    if (this.pendingCount === 0) return undefined;
    for (const entry of this.changes(0n)) if (entry.isPending) return entry.updateTimeMs;
    return undefined;
  }

  private ofKey(key: string): IndexEntry | undefined {
    return this.entries.get(this.folderOfKey.get(key) ?? '');
  }
}

/** Whether a key begins with a prefix; of a folder whose key is not known, whether it may. */
function isBelow({ key, folder }: IndexEntry, prefix: string): boolean {
  return key.startsWith(prefix) || (key === folder && mayBegin(folder, prefix));
}

function* walk(places: SortedPlaces, after: ListPosition | undefined, descending: boolean): Generator<string> {
  for (let at = places.next(after, descending); at !== undefined; at = places.next(at, descending)) yield at.key;
}

function entryOf(folder: string, slot: number, number: bigint, manifest: Manifest): IndexEntry {
  const { key, kind, replication, sizeBytes, commitTime, updateTime } = manifest;
  return {
    ...{ folder, slot, number, key },
    isResult: kind === RevisionKind.COMMITTED,
    isDamaged: false,
    isPending: replication === ReplicationState.PENDING,
    updateTimeMs: milliseconds(updateTime),
    sizeBytes: kind === RevisionKind.COMMITTED ? Number(sizeBytes) : 0,
    times: { key: 0n, commit_time: nanoseconds(commitTime), update_time: nanoseconds(updateTime) },
  };
}
