import { toStorageError, type StorageError } from '../../errors.js';
import { ROOM_MEASURED_MS } from '../../limits.js';
import type { StorageBackend } from '../backend.js';
import type { Ballast } from './ballast.js';
import { reserveOf, type Disk } from './disk.js';
import { diskFull, quotaExceeded } from './room-errors.js';

/** What there is to know and to do about the room of a store. */
export interface RoomWays {
  /** Its disk; undefined where it has none that can be seen: memory, a server's. */
  disk(): Promise<Disk | undefined>;
  /**
   * Frees at once what is needed for its retention alone, superseded and deleted revisions that nobody reads, and room that
   * the store keeps for itself.
   */
  reclaim(): Promise<void>;
  /** What its results and uploads may take; undefined: as much as there is. */
  readonly quotaBytes: number | undefined;
  /** Undefined: it has none. */
  readonly ballast: Ballast | undefined;
}

/** Rows are at first written as they come and then once more in their final form. */
const WRITTEN_TIMES = 2;

const NOT_CANCELLED = new AbortController().signal;

interface Measured {
  readonly disk: Disk | undefined;
  readonly usedBytes: number;
}

/** Rows on their way into a store, which can be made to count. */
type Receiver = () => Promise<unknown>;

/**
 * The room of a store: asked before rows are taken, which costs nothing while there is plenty. It is measured when what was
 * measured may be used up, and now and then, as others use the disk too. Where it ends, what is kept for its retention alone goes.
 */
export class Room {
  private last: Measured | undefined;
  private measuredMs = -Infinity;
  private measuring: Promise<Measured> | undefined;
  private reclaiming: Promise<Measured> | undefined;
  /** Rows that were taken since the room was measured, or may not have been written then. */
  private takenBytes = 0;
  private unsyncedBytes = 0;
  private isShort = false;
  private readonly receivers = new Set<Receiver>();

  constructor(
    private readonly store: StorageBackend,
    private readonly ways: RoomWays,
  ) {}

  /** Counts what a receiver has taken when room gets short, until what is returned is disposed of. */
  join(receiver: Receiver): Disposable {
    this.receivers.add(receiver);
    return { [Symbol.dispose]: () => void this.receivers.delete(receiver) };
  }

  /** Takes room for rows; undefined: there was enough at once. DISK_FULL, QUOTA_EXCEEDED. */
  take(byteLength: number): Promise<void> | undefined {
    if (this.last === undefined || this.fullFor(byteLength, this.last) !== undefined)
      return this.takeSlowly(byteLength);
    if (performance.now() - this.measuredMs > ROOM_MEASURED_MS) void this.measure();
    this.count(byteLength);
    return undefined;
  }

  /** Says that rows that were taken are on disk now, or given up. */
  settled(byteLength: number): void {
    this.unsyncedBytes -= byteLength;
  }

  private count(byteLength: number): void {
    this.takenBytes += byteLength;
    this.unsyncedBytes += byteLength;
  }

  private async takeSlowly(byteLength: number): Promise<void> {
    let full = this.fullFor(byteLength, await this.measure());
    if (full !== undefined) {
      full = this.fullFor(byteLength, await this.reclaim());
    }
    this.isShort = full !== undefined;
    if (full !== undefined) throw full;
    this.count(byteLength);
  }

  private fullFor(byteLength: number, { disk, usedBytes }: Measured): StorageError | undefined {
    const { quotaBytes } = this.ways;
    const used = usedBytes + this.takenBytes;
    if (quotaBytes !== undefined && used + byteLength > quotaBytes) return quotaExceeded(byteLength, used, quotaBytes);
    if (disk === undefined) return undefined;
    const toWrite = WRITTEN_TIMES * (this.takenBytes + byteLength);
    return toWrite > disk.freeBytes - reserveOf(disk) ? diskFull(byteLength, disk) : undefined;
  }

  /** Refuses a commit or a change of metadata where half of the reserve is gone: the rest is for deletions. DISK_FULL. */
  async check(): Promise<void> {
    if (lowDisk(await this.current()) === undefined) return;
    const disk = lowDisk(await this.reclaim());
    if (disk === undefined) return;
    this.isShort = true;
    throw diskFull(undefined, disk);
  }

  /** Before something is deleted: where others have filled the disk, the ballast goes. */
  async beforeRemoval(): Promise<void> {
    await this.current();
  }

  /** After something was deleted: where room is short, what it took is free at once. */
  async afterRemoval(): Promise<void> {
    if (this.isShort) await this.reclaim();
  }

  /** What is short when a write has failed for want of room all the same. */
  async explained(error: unknown, wantedBytes: number | undefined): Promise<unknown> {
    const { reason, metadata } = toStorageError(error);
    if (reason !== 'DISK_FULL' || 'free_bytes' in metadata) return error;
    this.isShort = true;
    const { disk } = await this.measure();
    return disk === undefined ? error : diskFull(wantedBytes, disk, error);
  }

  private async current(): Promise<Measured> {
    const isOld = performance.now() - this.measuredMs > ROOM_MEASURED_MS;
    return this.last === undefined || isOld || this.isShort ? this.measure() : this.last;
  }

  /** Measures; those who ask meanwhile share it. */
  private measure(): Promise<Measured> {
    this.measuring ??= this.measureNow().finally(() => (this.measuring = undefined));
    return this.measuring;
  }

  private async measureNow(): Promise<Measured> {
    // What is written while it is measured may be counted twice, and is not left out.
    const unsynced = this.unsyncedBytes;
    const takenBefore = this.takenBytes;
    await this.ways.ballast?.settle();
    // What can't be measured refuses nothing.
    const disk = await this.ways.disk().catch(() => undefined);
    const usedBytes = this.ways.quotaBytes === undefined ? 0 : await this.usedBytes();
    this.takenBytes = unsynced + this.takenBytes - takenBefore;
    this.measuredMs = performance.now();
    this.last = { disk, usedBytes };
    return this.last;
  }

  private async usedBytes(): Promise<number> {
    const stats = await this.store.stats(NOT_CANCELLED).catch(() => undefined);
    return stats === undefined ? (this.last?.usedBytes ?? 0) : stats.sizeBytes;
  }

  /** Frees what can be freed, and measures with all that was taken on disk. */
  private reclaim(): Promise<Measured> {
    this.reclaiming ??= this.reclaimNow().finally(() => (this.reclaiming = undefined));
    return this.reclaiming;
  }

  private async reclaimNow(): Promise<Measured> {
    await Promise.all([...this.receivers].map((sync) => sync().catch(() => undefined)));
    // What could not be freed is still used: that is seen when it is measured.
    await this.ways.reclaim().catch(() => undefined);
    await this.measuring;
    return this.measure();
  }
}

/** The disk, where half of its reserve is gone. */
function lowDisk({ disk }: Measured): Disk | undefined {
  return disk !== undefined && disk.freeBytes < reserveOf(disk) / 2 ? disk : undefined;
}
