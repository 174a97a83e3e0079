import { ValueType, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import type { Column } from '../../../proto/gen/optistore/v1/rows_pb.js';

/** A column of numbers: float64, int64 (rounded beyond 2^53) or bool (0 and 1). */
export interface NumberColumn {
  readonly kind: 'number';
  readonly variable: Variable;
  /** NaN where a value is missing. */
  readonly values: Float64Array;
  /** 1 where the value is there. Undefined: every value is. */
  readonly present: Uint8Array | undefined;
  /** Of an int64 column: its values as they are. */
  readonly integers: BigInt64Array | undefined;
}

/** A column of strings, each decoded only when it is asked for. */
export interface TextColumn {
  readonly kind: 'text';
  readonly variable: Variable;
  readonly length: number;
  /** The string of a row; undefined where it is missing. */
  text(row: number): string | undefined;
}

export type RunColumn = NumberColumn | TextColumn;

/** Number columns start with room for so many rows, and double. */
const FIRST_CAPACITY = 1024;

/** A column that grows batch by batch. */
export interface GrowingColumn {
  append(column: Column, rowCount: number): void;
  /** Keeps these rows alone, ascending. */
  keep(rows: Uint32Array): void;
  /** What is there now; later appends leave it as it is. */
  view(): RunColumn;
}

/** A column that has room for `capacity` rows before it has to grow. */
export function growingColumn(variable: Variable, capacity: number): GrowingColumn {
  return variable.valueType === ValueType.STRING
    ? new GrowingText(variable)
    : new GrowingNumbers(variable, Math.max(capacity, FIRST_CAPACITY));
}

class GrowingNumbers implements GrowingColumn {
  private length = 0;
  private values: Float64Array<ArrayBuffer>;
  private integers: BigInt64Array<ArrayBuffer> | undefined;
  private present: Uint8Array<ArrayBuffer> | undefined;

  constructor(
    private readonly variable: Variable,
    capacity: number,
  ) {
    this.values = new Float64Array(capacity);
    if (variable.valueType === ValueType.INT64) this.integers = new BigInt64Array(capacity);
  }

  append({ values, validity }: Column, rowCount: number): void {
    const from = this.length;
    this.reserve(from + rowCount);
    switch (values.case) {
      case 'float64Values':
        this.values.set(new Float64Array(aligned(values.value), 0, rowCount), from);
        break;
      case 'int64Values': {
        const integers = new BigInt64Array(aligned(values.value), 0, rowCount);
        this.integers?.set(integers, from);
        for (let i = 0; i < rowCount; i++) this.values[from + i] = Number(integers[i]);
        break;
      }
      case 'boolValues':
        this.values.set(values.value, from);
        break;
      case 'stringValues':
      case undefined:
        throw new Error(`The column "${this.variable.name}" came without numbers: reload the page.`);
      default:
        values satisfies never;
    }
    this.length = from + rowCount;
    if (validity.length > 0) this.setMissing(validity, from, rowCount);
  }

  private setMissing(validity: Uint8Array, from: number, rowCount: number): void {
    this.present ??= new Uint8Array(this.values.length).fill(1);
    for (let i = 0; i < rowCount; i++) {
      if ((((validity[i >>> 3] ?? 0) >>> (i & 7)) & 1) === 1) continue;
      this.present[from + i] = 0;
      this.values[from + i] = NaN;
    }
  }

  private reserve(length: number): void {
    if (length <= this.values.length) return;
    const capacity = Math.max(length, this.values.length * 2);
    this.values = grown(this.values, new Float64Array(capacity));
    if (this.integers) this.integers = grown(this.integers, new BigInt64Array(capacity));
    if (this.present) this.present = grown(this.present, new Uint8Array(capacity).fill(1));
  }

  keep(rows: Uint32Array): void {
    // New arrays: views that were given away stay as they are.
    const { length } = this.values;
    this.values = kept(this.values, rows, new Float64Array(length));
    if (this.integers) this.integers = kept(this.integers, rows, new BigInt64Array(length));
    if (this.present) this.present = kept(this.present, rows, new Uint8Array(length).fill(1));
    this.length = rows.length;
  }

  view(): NumberColumn {
    const { variable, length } = this;
    return {
      kind: 'number',
      variable,
      values: this.values.subarray(0, length),
      present: this.present?.subarray(0, length),
      integers: this.integers?.subarray(0, length),
    };
  }
}

/** The bytes as a memory of their own that begins at 0, where numbers can be viewed. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  return bytes.slice().buffer;
}

function grown<Numbers extends { set(from: Numbers): void }>(from: Numbers, to: Numbers): Numbers {
  to.set(from);
  return to;
}

function kept<Numbers extends Float64Array | BigInt64Array | Uint8Array>(
  from: Numbers,
  rows: Uint32Array,
  to: Numbers,
): Numbers {
  for (let i = 0; i < rows.length; i++) to[i] = from[rows[i] as number] as never;
  return to;
}

/** Strings of one batch as they came. */
interface TextPart {
  readonly firstRow: number;
  readonly offsets: Uint32Array;
  readonly utf8: Uint8Array;
  readonly validity: Uint8Array;
}

const UTF8 = new TextDecoder();

class GrowingText implements GrowingColumn {
  private length = 0;
  private parts: TextPart[] = [];

  constructor(private readonly variable: Variable) {}

  append({ values, validity }: Column, rowCount: number): void {
    if (values.case !== 'stringValues')
      throw new Error(`The column "${this.variable.name}" came without strings: reload the page.`);
    const offsets = new Uint32Array(aligned(values.value.offsets), 0, rowCount + 1);
    this.parts.push({ firstRow: this.length, offsets, utf8: values.value.utf8, validity });
    this.length += rowCount;
  }

  keep(rows: Uint32Array): void {
    // In a memory of their own: the batches that they came in would stay with all their strings.
    const offsets = new Uint32Array(rows.length + 1);
    const validity = new Uint8Array(Math.ceil(rows.length / 8));
    const texts: Uint8Array[] = [];
    rows.forEach((row, i) => {
      const bytes = bytesOf(this.parts, row);
      offsets[i + 1] = (offsets[i] as number) + (bytes?.length ?? 0);
      if (bytes === undefined) return;
      validity[i >>> 3] = (validity[i >>> 3] as number) | (1 << (i & 7));
      texts.push(bytes);
    });
    const utf8 = new Uint8Array(offsets[rows.length] as number);
    let at = 0;
    for (const bytes of texts) {
      utf8.set(bytes, at);
      at += bytes.length;
    }
    this.parts = [{ firstRow: 0, offsets, utf8, validity }];
    this.length = rows.length;
  }

  view(): TextColumn {
    const { variable, parts, length } = this;
    const text = (row: number) => {
      const bytes = bytesOf(parts, row);
      return bytes && UTF8.decode(bytes);
    };
    return { kind: 'text', variable, length, text };
  }
}

/** A string as it came; undefined where it is missing. */
function bytesOf(parts: readonly TextPart[], row: number): Uint8Array | undefined {
  let [low, high] = [0, parts.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((parts[middle] as TextPart).firstRow <= row) low = middle + 1;
    else high = middle;
  }
  const part = parts[low - 1];
  if (part === undefined) return undefined;
  const i = row - part.firstRow;
  if (i >= part.offsets.length - 1) return undefined;
  if (part.validity.length > 0 && (((part.validity[i >>> 3] ?? 0) >>> (i & 7)) & 1) === 0) return undefined;
  return part.utf8.subarray(part.offsets[i], part.offsets[i + 1]);
}
