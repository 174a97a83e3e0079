import { create } from '@bufbuild/protobuf';
import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ValueType } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { ColumnSummary } from '../../proto/gen/optistore/v1/result_pb.js';
import { ColumnSummarySchema } from '../../proto/gen/optistore/v1/result_pb.js';
import type { Batch, Column } from './batch.js';
import { BestValues } from './best.js';
import { crc32, crc32Combine } from './checksum.js';
import { ALIGNED_BYTES_MIN } from './envelope-codec.js';
import { offsetsView } from './slice.js';
import { bitsAsBytes } from './validity.js';

/**
 * What the columns of a run hold so far: smallest and largest value, missing and NaN values, and checksums
 * over the values in row order that do not depend on how the rows were cut.
 */
export class RunSummary {
  private readonly columns: ColumnState[];
  private readonly best: BestValues;

  /** Starts empty, or goes on from summaries that were kept. */
  constructor(variables: readonly Variable[], from?: readonly ColumnSummary[]) {
    this.columns = variables.map((variable, i) => new ColumnState(variable, from?.[i]));
    this.best = new BestValues(variables, from);
  }

  /** Adds the rows that come next. */
  add(batch: Batch): void {
    const onesCrc = crc32(onesOf(batch.rowCount));
    for (let i = 0; i < this.columns.length; i++) {
      const column = batch.columns[i];
      if (column !== undefined) this.columns[i]?.add(column, batch.rowCount, onesCrc);
    }
    this.best.add(batch);
  }

  /** The summaries as they are now, in the problem's order. */
  summaries(): ColumnSummary[] {
    return this.columns.map((column, i) => column.summary(this.best.of(i)));
  }
}

/** Where doubles are looked at that are not aligned in their message: a copy of each column would be garbage. */
const ALIGNED = new Float64Array(4096);
const ALIGNED_BYTES = new Uint8Array(ALIGNED.buffer);

class ColumnState {
  private min = Infinity;
  private max = -Infinity;
  private missing = 0;
  private nan = 0;
  private valuesCrc = 0;
  private validityCrc = 0;
  private lengthsCrc = 0;
  /** ±Inf are values too, so emptiness needs a mark of its own. */
  private hasValue = false;

  constructor(
    private readonly variable: Variable,
    from: ColumnSummary | undefined,
  ) {
    if (from === undefined) return;
    this.hasValue = from.min !== undefined;
    this.min = from.min ?? Infinity;
    this.max = from.max ?? -Infinity;
    this.missing = Number(from.missingCount);
    this.nan = Number(from.nanCount);
    this.valuesCrc = from.valuesCrc32;
    this.validityCrc = from.validityCrc32;
    this.lengthsCrc = from.lengthsCrc32;
  }

  add(column: Column, rowCount: number, onesCrc: number): void {
    const valuesCrc = column.valuesCrc ?? crc32(column.values);
    this.valuesCrc = crc32Combine(this.valuesCrc, valuesCrc, column.values.byteLength);
    const present = column.validity === undefined ? undefined : bitsAsBytes(column.validity, rowCount);
    this.validityCrc =
      present === undefined ? crc32Combine(this.validityCrc, onesCrc, rowCount) : crc32(present, this.validityCrc);
    if (present !== undefined) for (const bit of present) this.missing += 1 - bit;
    switch (this.variable.valueType) {
      case ValueType.FLOAT64:
        return this.addFloats(column.values, present);
      case ValueType.INT64:
        return this.addIntegers(column.values, present, rowCount);
      case ValueType.BOOL:
        return this.addRange(column.values, rowCount, present);
      case ValueType.STRING:
        return this.addLengths(column, rowCount);
      case ValueType.UNSPECIFIED:
        throw new RangeError('a checked schema has no unspecified type');
      default:
        return this.variable.valueType satisfies never;
    }
  }

  private addFloats(bytes: Uint8Array, present: Uint8Array | undefined): void {
    const { buffer, byteOffset, byteLength } = bytes;
    // A new view costs more than a copy of a few.
    if (byteOffset % 8 === 0 && byteLength >= ALIGNED_BYTES_MIN) {
      this.addRange(new Float64Array(buffer, byteOffset, byteLength / 8), byteLength / 8, present);
      return;
    }
    for (let at = 0; at < bytes.byteLength; at += ALIGNED_BYTES.byteLength) {
      const piece = bytes.subarray(at, at + ALIGNED_BYTES.byteLength);
      ALIGNED_BYTES.set(piece);
      this.addRange(ALIGNED, piece.byteLength / 8, present?.subarray(at / 8));
    }
  }

  private addRange(values: Float64Array | Uint8Array, count: number, present: Uint8Array | undefined): void {
    let { min, max, nan } = this;
    let passed = 0;
    for (let i = 0; i < count; i++) {
      const value = values[i] as number;
      if (present?.[i] === 0) passed++;
      // Most are between those that came before: one look is enough.
      else if (!(value >= min && value <= max)) {
        if (value < min) min = value;
        if (value > max) max = value;
        if (value !== value) nan++;
      }
    }
    this.hasValue ||= passed + nan - this.nan < count;
    this.min = min;
    this.max = max;
    this.nan = nan;
  }

  private addIntegers(bytes: Uint8Array, present: Uint8Array | undefined, rowCount: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = 0; i < rowCount; i++) {
      if (present !== undefined && present[i] === 0) continue;
      const value = view.getInt32(i * 8 + 4, true) * 2 ** 32 + view.getUint32(i * 8, true);
      this.hasValue = true;
      if (value < this.min) this.min = value;
      if (value > this.max) this.max = value;
    }
  }

  private addLengths(column: Column, rowCount: number): void {
    const offsets = offsetsView(column);
    const lengths = new Uint8Array(rowCount * 4);
    const view = new DataView(lengths.buffer);
    for (let i = 0; i < rowCount; i++) {
      view.setUint32(i * 4, offsets.getUint32(i * 4 + 4, true) - offsets.getUint32(i * 4, true), true);
    }
    this.lengthsCrc = crc32(lengths, this.lengthsCrc);
  }

  summary(best: number | undefined): ColumnSummary {
    return create(ColumnSummarySchema, {
      name: this.variable.name,
      ...(this.hasValue ? { min: this.min, max: this.max } : {}),
      ...(best === undefined ? {} : { best }),
      missingCount: BigInt(this.missing),
      nanCount: BigInt(this.nan),
      valuesCrc32: this.valuesCrc,
      validityCrc32: this.validityCrc,
      lengthsCrc32: this.lengthsCrc,
    });
  }
}

let ones = new Uint8Array(4096).fill(1);

function onesOf(count: number): Uint8Array {
  if (ones.length < count) ones = new Uint8Array(count * 2).fill(1);
  return ones.subarray(0, count);
}
