import { LRUCache } from 'lru-cache';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { NEWEST_MEMO_BYTES_MAX } from '../../limits.js';

/** An entry as it was read. */
export interface ReadEntry {
  /** Undefined: there is none. */
  readonly manifest: Manifest | undefined;
  /** Of the stored value. */
  readonly byteLength: number;
}

/** What a manifest takes in memory for each byte that is stored of it, more or less: 40 columns are 1.8 KB, 17 KB as objects, and an answer. */
const BYTES_PER_STORED_BYTE = 16;
/** The key, and what keeps the entry in order. */
const ENTRY_BYTES = 1024;

/**
 * Newest manifests that were read last, and keys that had none, so that most lookups need neither LevelDB nor a decoder, and a save
 * of a new key asks for it once: this process is the only one that writes the index. What it gives is shared, and is never changed. It
 * never has what a write has replaced, nor what came of one that failed: of a key that is being written nothing is kept, and from a
 * failed write to the next that succeeds nothing at all, as what LevelDB has of the failed one is taken back only then.
 */
export class NewestMemo {
  private readonly manifests = new LRUCache<string, ReadEntry>({
    maxSize: NEWEST_MEMO_BYTES_MAX,
    sizeCalculation: ({ byteLength }) => ENTRY_BYTES + byteLength * BYTES_PER_STORED_BYTE,
  });
  /** Keys that are being written, and by how many. */
  private readonly writing = new Map<string, number>();
  /** Reads that run, by key: of those that a write has overtaken nothing is kept. */
  private readonly reading = new Map<string, object>();
  private hasFailed = false;

  /** What a key's entry says: from memory, or as `read` gives it. */
  async get(key: string, read: () => Promise<ReadEntry>): Promise<Manifest | undefined> {
    const known = this.manifests.get(key);
    if (known !== undefined) return known.manifest;
    const turn = {};
    this.reading.set(key, turn);
    try {
      const entry = await read();
      const isCurrent = this.reading.get(key) === turn && !this.writing.has(key) && !this.hasFailed;
      if (isCurrent) this.manifests.set(key, entry);
      return entry.manifest;
    } finally {
      if (this.reading.get(key) === turn) this.reading.delete(key);
    }
  }

  /** Writes entries of some keys; while that goes on they are read from where they lie. */
  async whileWritten<T>(keys: readonly string[], write: () => Promise<T>): Promise<T> {
    for (const key of keys) {
      this.writing.set(key, (this.writing.get(key) ?? 0) + 1);
      this.forget(key);
    }
    try {
      const written = await write();
      this.hasFailed = false;
      return written;
    } catch (error) {
      this.hasFailed = true;
      this.manifests.clear();
      throw error;
    } finally {
      for (const key of keys) this.settle(key);
    }
  }

  /** Lets a key be read again from where it lies. */
  forget(key: string): void {
    this.manifests.delete(key);
    this.reading.delete(key);
  }

  private settle(key: string): void {
    const count = (this.writing.get(key) ?? 1) - 1;
    if (count === 0) this.writing.delete(key);
    else this.writing.set(key, count);
    this.forget(key);
  }
}
