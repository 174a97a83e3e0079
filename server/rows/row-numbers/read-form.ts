import type { RowNumbers } from '../../../proto/gen/optistore/v1/rows_pb.js';
import { StorageError } from '../../errors.js';
import type { Runs } from './runs.js';

/** Beyond 2^53 a row's number is not exact as a number; a result has fewer rows. */
const VARINT_BYTES_MAX = 8;

/**
 * Reads row numbers in any of their forms, run by run. RESULT_SET_INVALID from `advance`, where it comes upon what is
 * out of order, cut short, or not below `rowCount`, the result's number of rows.
 */
export function readRowNumbers(rows: RowNumbers | undefined, rowCount: number): Runs {
  const form = rows?.form;
  switch (form?.case) {
    case undefined:
      return NO_RUNS;
    case 'list':
      return new ListRuns(form.value, rowCount);
    case 'deltas':
      return new DeltaRuns(form.value, rowCount);
    case 'bitmap':
      return new BitmapRuns(form.value, rowCount);
    case 'ranges':
      return new RangeRuns(form.value, rowCount);
    default:
      return form satisfies never;
  }
}

const NO_RUNS: Runs = { first: 0, end: 0, advance: () => false };

class ListRuns implements Runs {
  first = 0;
  end = 0;
  private readonly view: DataView;
  private at = 0;

  constructor(
    bytes: Uint8Array,
    private readonly rowCount: number,
  ) {
    if (bytes.byteLength % 8 !== 0)
      throw wrong(`\`list\` has ${bytes.byteLength} bytes, which is no multiple of 8: it was cut short`);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  advance(): boolean {
    if (this.at >= this.view.byteLength) return false;
    this.first = this.row();
    this.end = this.first + 1;
    while (this.at < this.view.byteLength && this.peek() === this.end) {
      checkBelow(this.end, this.rowCount);
      this.end++;
      this.at += 8;
    }
    return true;
  }

  private peek(): number {
    return this.view.getUint32(this.at + 4, true) * 2 ** 32 + this.view.getUint32(this.at, true);
  }

  private row(): number {
    const row = this.peek();
    if (this.at > 0 && row < this.end)
      throw wrong(
        row === this.end - 1 ? `row ${row} is there twice` : `row ${row} comes behind row ${this.end - 1}; sort them`,
      );
    checkBelow(row, this.rowCount);
    this.at += 8;
    return row;
  }
}

/** Reads LEB128 varints. */
class Varints {
  private at = 0;

  constructor(
    private readonly form: string,
    private readonly bytes: Uint8Array,
  ) {}

  get isAtEnd(): boolean {
    return this.at >= this.bytes.byteLength;
  }

  /** Whether the next one is 0; then it is taken. */
  takeZero(): boolean {
    if (this.bytes[this.at] !== 0) return false;
    this.at++;
    return true;
  }

  next(): number {
    const from = this.at;
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw wrong(`the last varint of \`${this.form}\` is cut short`);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      if (this.at - from >= VARINT_BYTES_MAX)
        throw wrong(`a varint of \`${this.form}\` at byte ${from} is over ${VARINT_BYTES_MAX} bytes long`);
      scale *= 128;
    }
  }
}

class DeltaRuns implements Runs {
  first = 0;
  end = 0;
  private readonly varints: Varints;

  constructor(
    bytes: Uint8Array,
    private readonly rowCount: number,
  ) {
    this.varints = new Varints('deltas', bytes);
  }

  advance(): boolean {
    if (this.varints.isAtEnd) return false;
    this.first = this.end + this.varints.next();
    this.end = this.first + 1;
    while (this.varints.takeZero()) this.end++;
    checkBelow(this.end - 1, this.rowCount);
    return true;
  }
}

class RangeRuns implements Runs {
  first = 0;
  end = 0;
  private nextFirst = 0;
  private nextEnd = 0;
  private hasNext: boolean;
  private readonly varints: Varints;

  constructor(
    bytes: Uint8Array,
    private readonly rowCount: number,
  ) {
    this.varints = new Varints('ranges', bytes);
    this.hasNext = this.read();
  }

  /** Runs may touch each other as they are sent; here they are one. */
  advance(): boolean {
    if (!this.hasNext) return false;
    this.first = this.nextFirst;
    do {
      this.end = this.nextEnd;
      this.hasNext = this.read();
    } while (this.hasNext && this.nextFirst === this.end);
    return true;
  }

  private read(): boolean {
    if (this.varints.isAtEnd) return false;
    this.nextFirst = this.nextEnd + this.varints.next();
    if (this.varints.isAtEnd) throw wrong('`ranges` ends behind the beginning of a run: it was cut short');
    this.nextEnd = this.nextFirst + this.varints.next() + 1;
    checkBelow(this.nextEnd - 1, this.rowCount);
    return true;
  }
}

class BitmapRuns implements Runs {
  first = 0;
  end = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly rowCount: number,
  ) {}

  advance(): boolean {
    const first = this.next(this.end, 0x00);
    if (first >= this.bytes.byteLength * 8) return false;
    this.first = first;
    this.end = this.next(first, 0xff);
    checkBelow(this.end - 1, this.rowCount);
    return true;
  }

  /** The first bit from `from` on that is set, where `other` is 0; that is not set, where it is 0xff. */
  private next(from: number, other: 0x00 | 0xff): number {
    const { bytes } = this;
    let index = from >>> 3;
    // Bits before `from` are made as if they were passed over already.
    let wanted = ((bytes[index] ?? other) ^ other) & (0xff << (from & 7)) & 0xff;
    while (wanted === 0 && index < bytes.length) {
      index++;
      wanted = index < bytes.length ? (bytes[index] as number) ^ other : 0;
    }
    if (index >= bytes.length) return bytes.length * 8;
    return index * 8 + (31 - Math.clz32(wanted & -wanted));
  }
}

function checkBelow(row: number, rowCount: number): void {
  if (row < rowCount) return;
  throw wrong(`row ${row} is beyond the result's ${rowCount} rows, which are numbered from 0`);
}

function wrong(what: string): StorageError {
  return new StorageError('RESULT_SET_INVALID', `The rows of a set can't be taken: ${what}.`);
}
