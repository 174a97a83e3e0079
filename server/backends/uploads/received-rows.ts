import type { Batch, Schema } from '../../rows/batch.js';
import { batchBytes } from '../../rows/batch.js';
import { BatchBuilder } from '../../rows/batch-builder.js';

/** Batches of at least this stay in the memory of their messages: their views of it are small beside their values. */
const AS_RECEIVED_BYTES_MIN = 64 * 1024;

/** Rows that an upload has received and not yet written: large batches as they came, small ones gathered. */
export class ReceivedRows {
  private batches: Batch[] = [];
  private last: BatchBuilder | undefined;
  private bytes = 0;

  constructor(
    private readonly schema: Schema,
    /** Small batches are gathered up to this. */
    private readonly blockBytes: number,
  ) {}

  get byteLength(): number {
    return this.bytes;
  }

  /** Takes the rows that come next; `byteLength` is their batchBytes. */
  add(batch: Batch, byteLength: number): void {
    this.bytes += byteLength;
    if (byteLength >= AS_RECEIVED_BYTES_MIN) {
      this.closeLast();
      this.batches.push(batch);
      return;
    }
    this.last ??= new BatchBuilder(this.schema, batch.firstRow);
    this.last.add(batch, byteLength);
    if (this.last.byteLength >= this.blockBytes) this.closeLast();
  }

  private closeLast(): void {
    if (this.last !== undefined) this.batches.push(this.last.build());
    this.last = undefined;
  }

  /** All, in order; none are left. */
  take(): Batch[] {
    this.closeLast();
    const { batches } = this;
    this.batches = [];
    this.bytes = 0;
    return batches;
  }

  /** Puts rows that were taken before those that came since. */
  putBack(batches: readonly Batch[]): void {
    this.batches.unshift(...batches);
    for (const batch of batches) this.bytes += batchBytes(batch);
  }
}
