import { LRUCache } from 'lru-cache';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Batch } from '../../rows/batch.js';
import { batchBytes } from '../../rows/batch.js';

/** The rows of one revision, whole. */
export interface CachedRows {
  readonly revision: bigint;
  /** Two stores that were changed without each other may have different revisions of one number. */
  readonly uploadId: string;
  readonly batches: readonly Batch[];
}

/** What the cache has done and holds, since the daemon started. */
export interface CacheStats {
  /** Loads that it answered. */
  readonly hitCount: number;
  /** Loads that it could not answer. */
  readonly missCount: number;
  /** Results that it let go for want of room. */
  readonly evictionCount: number;
  /** Loads of results too large for it. */
  readonly tooLargeCount: number;
  /** Failures in it; each was a miss to the caller. */
  readonly errorCount: number;
  readonly sizeBytes: number;
  readonly limitBytes: number;
}

/** Where cached rows lie. May fail: who asks goes on without it. */
export interface CacheMemory {
  readonly sizeBytes: number;
  get(key: string): CachedRows | undefined;
  set(key: string, rows: CachedRows): void;
  delete(key: string): void;
}

/** An entry's own objects, and its key: an empty result is not free. */
const ENTRY_BYTES = 1024;

/** The least recently used results go when there is no room. */
export class LruMemory implements CacheMemory {
  private readonly lru: LRUCache<string, CachedRows>;

  constructor(limitBytes: number, evicted: () => void) {
    this.lru = new LRUCache({
      maxSize: Math.max(limitBytes, 1),
      sizeCalculation: ({ batches }) => batches.reduce((bytes, batch) => bytes + batchBytes(batch), ENTRY_BYTES),
      dispose: (_, __, reason) => {
        if (reason === 'evict') evicted();
      },
    });
  }

  get sizeBytes(): number {
    return this.lru.calculatedSize;
  }

  get(key: string): CachedRows | undefined {
    return this.lru.get(key);
  }

  set(key: string, rows: CachedRows): void {
    this.lru.set(key, rows);
  }

  delete(key: string): void {
    this.lru.delete(key);
  }
}

/** Recently used results, counted. It never fails: an error of its memory is a miss and a count. */
export class ResultCache {
  private readonly counts = { hitCount: 0, missCount: 0, evictionCount: 0, tooLargeCount: 0, errorCount: 0 };
  private readonly memory: CacheMemory;

  constructor(
    readonly limitBytes: number,
    makeMemory: (evicted: () => void) => CacheMemory = (evicted) => new LruMemory(limitBytes, evicted),
  ) {
    this.memory = makeMemory(() => this.counts.evictionCount++);
  }

  /** A revision's rows; counts a hit or a miss. */
  get({ key, revision, uploadId }: Pick<Manifest, 'key' | 'revision' | 'uploadId'>): CachedRows | undefined {
    const rows = this.guarded(() => this.memory.get(key));
    const isHit = rows?.revision === revision && rows.uploadId === uploadId;
    if (isHit) this.counts.hitCount++;
    else this.counts.missCount++;
    return isHit ? rows : undefined;
  }

  /** Keeps a revision's rows, in place of an older revision's. */
  set(key: string, rows: CachedRows): void {
    this.guarded(() => {
      const before = this.memory.get(key);
      if (before === undefined || before.revision < rows.revision) this.memory.set(key, rows);
    });
  }

  delete(key: string): void {
    this.guarded(() => this.memory.delete(key));
  }

  /** Whether a result of so many bytes may be kept; counts it when not. */
  accepts(sizeBytes: number): boolean {
    const fits = sizeBytes <= this.limitBytes / 4;
    if (!fits) this.counts.tooLargeCount++;
    return fits;
  }

  stats(): CacheStats {
    return { ...this.counts, sizeBytes: this.guarded(() => this.memory.sizeBytes) ?? 0, limitBytes: this.limitBytes };
  }

  private guarded<T>(act: () => T): T | undefined {
    try {
      return act();
    } catch {
      this.counts.errorCount++;
      return undefined;
    }
  }
}
