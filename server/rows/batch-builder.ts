import type { Batch, Column, Schema } from './batch.js';
import { bitmapBytes, valueWidth } from './batch.js';
import { offsetsView } from './slice.js';
import { copyBits, isAllSet, setBits } from './validity.js';

const CAPACITY_MIN = 256;

/** Bytes that grow at their end. */
class GrowingBytes {
  private memory = new Uint8Array(CAPACITY_MIN);
  byteLength = 0;

  push(bytes: Uint8Array): void {
    const { byteLength } = bytes;
    const end = this.byteLength + byteLength;
    this.reserve(end);
    // A call into native code costs more than one value does.
    if (byteLength <= 8) for (let i = 0; i < byteLength; i++) this.memory[this.byteLength + i] = bytes[i] as number;
    else this.memory.set(bytes, this.byteLength);
    this.byteLength = end;
  }

  pushU32(value: number): void {
    this.reserve(this.byteLength + 4);
    for (let shift = 0; shift < 32; shift += 8) this.memory[this.byteLength++] = (value >>> shift) & 0xff;
  }

  /** The memory, with room for so many bytes; those not yet used are zero. */
  reserve(byteLength: number): Uint8Array {
    if (byteLength > this.memory.byteLength) {
      const larger = new Uint8Array(Math.max(byteLength, this.memory.byteLength * 2));
      larger.set(this.memory);
      this.memory = larger;
    }
    return this.memory;
  }

  take(): Uint8Array {
    return this.memory.subarray(0, this.byteLength);
  }
}

class ColumnBuilder {
  private readonly values = new GrowingBytes();
  private readonly offsets: GrowingBytes | undefined;
  /** From the first missing value on. */
  private validity: GrowingBytes | undefined;

  constructor(isText: boolean) {
    if (!isText) return;
    this.offsets = new GrowingBytes();
    this.offsets.pushU32(0);
  }

  add(column: Column, rowsBefore: number, rowCount: number): void {
    if (this.offsets !== undefined) {
      const from = offsetsView(column);
      const start = this.values.byteLength;
      for (let row = 1; row <= rowCount; row++) this.offsets.pushU32(start + from.getUint32(row * 4, true));
    }
    this.values.push(column.values);
    this.addValidity(column.validity, rowsBefore, rowCount);
  }

  private addValidity(bits: Uint8Array | undefined, rowsBefore: number, rowCount: number): void {
    if (bits === undefined && this.validity === undefined) return;
    if (this.validity === undefined) {
      this.validity = new GrowingBytes();
      setBits(this.validity.reserve(bitmapBytes(rowsBefore)), 0, rowsBefore);
    }
    const memory = this.validity.reserve(bitmapBytes(rowsBefore + rowCount));
    this.validity.byteLength = bitmapBytes(rowsBefore + rowCount);
    if (bits === undefined) setBits(memory, rowsBefore, rowCount);
    else copyBits(bits, 0, memory, rowsBefore, rowCount);
  }

  build(rowCount: number): Column {
    const validity = this.validity?.take();
    return {
      values: this.values.take(),
      offsets: this.offsets?.take(),
      validity: validity === undefined || isAllSet(validity, rowCount) ? undefined : validity,
    };
  }
}

/**
 * Gathers batches as they come into one, in memory of its own: a row that comes by itself is forty small
 * views of its message, which would cost far more memory than its values.
 */
export class BatchBuilder {
  private readonly columns: ColumnBuilder[];
  private rowCount = 0;
  byteLength = 0;

  constructor(
    schema: Schema,
    private readonly firstRow: number,
  ) {
    this.columns = schema.map((type) => new ColumnBuilder(valueWidth(type) === undefined));
  }

  /** Adds the rows that come next; `byteLength` is their batchBytes. */
  add(batch: Batch, byteLength: number): void {
    for (let i = 0; i < this.columns.length; i++) {
      this.columns[i]?.add(batch.columns[i] as Column, this.rowCount, batch.rowCount);
    }
    this.rowCount += batch.rowCount;
    this.byteLength += byteLength;
  }

  /** All that was added; nothing may be added afterwards. */
  build(): Batch {
    const columns = this.columns.map((column) => column.build(this.rowCount));
    return { firstRow: this.firstRow, rowCount: this.rowCount, columns };
  }
}
