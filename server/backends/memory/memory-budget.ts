import { StorageError } from '../../errors.js';

/** The bytes of rows that a memory store may hold. */
export class MemoryBudget {
  private held = 0;

  constructor(readonly limitBytes: number) {}

  get heldBytes(): number {
    return this.held;
  }

  /** Takes bytes; MEMORY_LIMIT, and nothing taken, where there are not so many. */
  take(byteLength: number): void {
    if (this.held + byteLength > this.limitBytes) {
      throw new StorageError(
        'MEMORY_LIMIT',
        `The memory store is full: it holds ${this.held} of ${this.limitBytes} bytes, and ${byteLength} more are needed. ` +
          'Delete results (they leave memory when their retention is over), abort uploads, or raise its limit: max_memory_mb, or cache_pinned_mb of the cache.',
      );
    }
    this.held += byteLength;
  }

  /** Exchanges bytes that are held for as many as took their place, without a check: it is the same rows. */
  exchange(given: number, taken: number): void {
    this.held += taken - given;
  }

  give(byteLength: number): void {
    this.held -= byteLength;
  }
}
