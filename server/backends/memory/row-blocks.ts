import { blockBytesFor, GATHER_BYTES_MAX } from '../../limits.js';
import type { Batch, Schema } from '../../rows/batch.js';
import { batchBytes } from '../../rows/batch.js';
import { gatherBatches } from '../../rows/gather.js';
import type { RunSummary } from '../../rows/summary.js';
import { compactBatch, heldBytes } from './held-bytes.js';
import type { MemoryBudget } from './memory-budget.js';

/** Batches that wait are joined when there are so many: each costs objects of many times a row's bytes. */
const WAITING_COUNT_MAX = 256;

/**
 * The rows of one run in memory. Batches wait until they make a block, then they are gathered into one; a
 * large batch ends a block at once. While a block is gathered, its bytes exist twice and count once.
 */
export class RowBlocks {
  private readonly blocks: Batch[] = [];
  /** Joined already, but not yet a block. */
  private parts: Batch[] = [];
  private waiting: Batch[] = [];
  /** Bytes of rows in parts and waiting. */
  private looseBytes = 0;
  private held = 0;
  private readonly blockBytes: number;
  rowCount = 0;

  constructor(
    private readonly schema: Schema,
    private readonly budget: MemoryBudget,
    private readonly summary: RunSummary,
  ) {
    this.blockBytes = blockBytesFor(schema.length);
  }

  /** Bytes of memory that the rows hold. */
  get heldBytes(): number {
    return this.held;
  }

  /** Takes the rows that come next; MEMORY_LIMIT, and none taken, where there is no room. */
  add(batch: Batch): void {
    const own = compactBatch(batch);
    const held = heldBytes(own);
    this.budget.take(held);
    this.held += held;
    this.rowCount += own.rowCount;
    this.waiting.push(own);
    const byteLength = batchBytes(own);
    this.looseBytes += byteLength;
    if (byteLength >= GATHER_BYTES_MAX || this.looseBytes >= this.blockBytes) this.gather();
    else if (this.waiting.length >= WAITING_COUNT_MAX) this.parts.push(this.join(this.waiting.splice(0)));
  }

  /** Makes a block of what waits. */
  gather(): void {
    const loose = [...this.parts, ...this.waiting];
    this.parts = [];
    this.waiting = [];
    this.looseBytes = 0;
    if (loose.length === 0) return;
    const block = this.join(loose);
    this.blocks.push(block);
    this.summary.add(block);
  }

  private join(batches: readonly Batch[]): Batch {
    let before = 0;
    for (const batch of batches) before += heldBytes(batch);
    const joined = gatherBatches(this.schema, batches);
    const after = heldBytes(joined);
    this.budget.exchange(before, after);
    this.held += after - before;
    return joined;
  }

  /** The rows as blocks, in order. None may be waiting. */
  all(): readonly Batch[] {
    return this.blocks;
  }

  /** The batch that has a row, in a block or waiting for one; undefined where the memory was given back. */
  batchOf(row: number): Batch | undefined {
    for (const batches of [this.waiting, this.parts, this.blocks]) {
      const batch = batches.findLast(({ firstRow }) => firstRow <= row);
      if (batch !== undefined) return batch;
    }
    return undefined;
  }

  /** Gives the memory back. */
  release(): void {
    this.budget.give(this.held);
    this.held = 0;
    this.blocks.length = 0;
    this.parts = [];
    this.waiting = [];
  }
}
