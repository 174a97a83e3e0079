import type { Column, RowBatch } from '../../proto/gen/optistore/v1/rows_pb.js';

/*
 * SaveResultRequest and LoadResultResponse carry a RowBatch in field 2, and nearly all bytes and messages of a stream
 * are such. protobuf-es reflects over the descriptor for each column of each batch: 60 µs for a row of 40 columns.
 * This does the same by hand for this one shape; for all else it declines, and protobuf-es does it.
 */

const VARINT = 0;
const BYTES = 2;
const FIXED32 = 5;
const tag = (field: number, wireType: number) => (field << 3) | wireType;

const ENVELOPE_BATCH = tag(2, BYTES);
const FIRST_ROW = tag(1, VARINT);
const ROW_COUNT = tag(2, VARINT);
const COLUMNS = tag(3, BYTES);
const CRC32 = tag(4, FIXED32);
const ROW_NUMBERS = tag(5, BYTES);
const STRING_VALUES = tag(4, BYTES);
const VALIDITY = tag(5, BYTES);
const PADDING = tag(6, BYTES);
const OFFSETS = tag(1, BYTES);
const UTF8 = tag(2, BYTES);
const CASES = { float64Values: tag(1, BYTES), int64Values: tag(2, BYTES), boolValues: tag(3, BYTES) } as const;
const NO_BYTES = new Uint8Array(0);

/** Numbers begin at a multiple of so many bytes of a message with its gRPC frame's head, so that who reads it can use them where they lie. */
const ALIGNMENT_BYTES = 8;
/** Of the frame of a message: whether it is compressed, and its length. grpc-js receives both in one piece of memory. */
const FRAME_HEAD_BYTES = 5;
/** Of fewer bytes the copy costs less than their padding. */
export const ALIGNED_BYTES_MIN = 1024;
/** A field of one byte cannot be: it has a tag and a length. */
const PADDING_FIELD_BYTES_MAX = ALIGNMENT_BYTES + 1;
const NOUGHTS = new Uint8Array(PADDING_FIELD_BYTES_MAX);

/** Thrown to decline: protobuf-es reads it, or says what is wrong with it. */
const DECLINED = new Error('not a plain batch');

/** Reads one message from left to right. */
class Reader {
  at = 0;

  constructor(
    readonly bytes: Uint8Array,
    private end: number,
  ) {}

  get isAtEnd(): boolean {
    return this.at >= this.end;
  }

  /** A number below 2^53. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 7; i++) {
      if (this.at >= this.end) throw DECLINED;
      const byte = this.bytes[this.at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw DECLINED;
  }

  fixed32(): number {
    if (this.at + 4 > this.end) throw DECLINED;
    const { bytes, at } = this;
    this.at += 4;
    const high = bytes[at + 3] as number;
    return ((high << 24) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at] ?? 0)) >>> 0;
  }

  /** A view. */
  view(): Uint8Array {
    const byteLength = this.varint();
    const { at } = this;
    if (at + byteLength > this.end) throw DECLINED;
    this.at += byteLength;
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + at, byteLength);
  }

  /** Reads a message inside, to its end. */
  inside<T>(read: (reader: Reader) => T): T {
    const byteLength = this.varint();
    const outer = this.end;
    if (this.at + byteLength > outer) throw DECLINED;
    this.end = this.at + byteLength;
    const value = read(this);
    this.end = outer;
    return value;
  }
}

/** The batch of an envelope that has nothing else; undefined for any other message. Its buffers are views. */
export function decodeEnvelopedBatch(bytes: Uint8Array): RowBatch | undefined {
  if (bytes[0] !== ENVELOPE_BATCH) return undefined;
  const reader = new Reader(bytes, bytes.byteLength);
  reader.at = 1;
  try {
    const batch = reader.inside(readBatch);
    return reader.isAtEnd ? batch : undefined;
  } catch (error) {
    if (error === DECLINED) return undefined;
    throw error;
  }
}

function readBatch(reader: Reader): RowBatch {
  const batch: RowBatch = { $typeName: 'optistore.v1.RowBatch', firstRow: 0n, rowCount: 0, columns: [] };
  while (!reader.isAtEnd) {
    switch (reader.varint()) {
      case FIRST_ROW:
        batch.firstRow = BigInt(reader.varint());
        break;
      case ROW_COUNT:
        batch.rowCount = reader.varint();
        if (batch.rowCount > 0xffffffff) throw DECLINED;
        break;
      case COLUMNS:
        batch.columns.push(reader.inside(readColumn));
        break;
      case CRC32:
        batch.crc32 = reader.fixed32();
        break;
      case ROW_NUMBERS:
        batch.rowNumbers = reader.view();
        break;
      default:
        throw DECLINED;
    }
  }
  return batch;
}

function readColumn(reader: Reader): Column {
  let values: Column['values'] | undefined;
  let validity: Uint8Array = NO_BYTES;
  let padding: Uint8Array = NO_BYTES;
  while (!reader.isAtEnd) {
    const field = reader.varint();
    if (field === VALIDITY) {
      validity = reader.view();
      continue;
    }
    if (field === PADDING) {
      padding = reader.view();
      continue;
    }
    // Twice the same would have to be merged.
    if (values !== undefined) throw DECLINED;
    values = readValues(reader, field);
  }
  return { $typeName: 'optistore.v1.Column', values: values ?? { case: undefined }, validity, padding };
}

function readValues(reader: Reader, field: number): Column['values'] {
  switch (field) {
    case CASES.float64Values:
      return { case: 'float64Values', value: reader.view() };
    case CASES.int64Values:
      return { case: 'int64Values', value: reader.view() };
    case CASES.boolValues:
      return { case: 'boolValues', value: reader.view() };
    case STRING_VALUES:
      return { case: 'stringValues', value: reader.inside(readStrings) };
    default:
      throw DECLINED;
  }
}

function readStrings(reader: Reader) {
  let offsets: Uint8Array = NO_BYTES;
  let utf8: Uint8Array = NO_BYTES;
  while (!reader.isAtEnd) {
    const field = reader.varint();
    if (field === OFFSETS) offsets = reader.view();
    else if (field === UTF8) utf8 = reader.view();
    else throw DECLINED;
  }
  return { $typeName: 'optistore.v1.StringValues' as const, offsets, utf8 };
}

/** Writes one message from left to right, into memory of the right size. */
class Writer {
  at = 0;

  constructor(readonly bytes: Buffer) {}

  varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.bytes[this.at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.bytes[this.at++] = rest;
  }

  field(fieldTag: number, bytes: Uint8Array): void {
    this.bytes[this.at++] = fieldTag;
    this.varint(bytes.byteLength);
    // A call into native code costs more than eight bytes do.
    if (bytes.byteLength <= 8) for (const byte of bytes) this.bytes[this.at++] = byte;
    else {
      this.bytes.set(bytes, this.at);
      this.at += bytes.byteLength;
    }
  }

  head(fieldTag: number, byteLength: number): void {
    this.bytes[this.at++] = fieldTag;
    this.varint(byteLength);
  }
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

const delimited = (byteLength: number) => 1 + varintBytes(byteLength) + byteLength;
const implicit = (bytes: Uint8Array) => (bytes.byteLength === 0 ? 0 : delimited(bytes.byteLength));

function columnSize({ values, validity }: Column): number {
  const bytes = implicit(validity);
  if (values.case === undefined) return bytes;
  if (values.case !== 'stringValues') return bytes + delimited(values.value.byteLength);
  return bytes + delimited(implicit(values.value.offsets) + implicit(values.value.utf8));
}

/** The bytes of padding, with their tag and length, that a column of a size has where its field begins at a place in the message. */
function paddingAt(at: number, { values }: Column, size: number): number {
  if (values.case === undefined || values.case === 'stringValues') return 0;
  const { byteLength } = values.value;
  if (byteLength < ALIGNED_BYTES_MIN) return 0;
  // Where padding makes the length of its column a byte longer, the numbers are a byte off; that is seldom, and no harm.
  const start = FRAME_HEAD_BYTES + at + 1 + varintBytes(size + PADDING_FIELD_BYTES_MAX) + 1 + varintBytes(byteLength);
  const gap = -start & (ALIGNMENT_BYTES - 1);
  return gap === 1 ? PADDING_FIELD_BYTES_MAX : gap;
}

/** Gives memory of just this size, whatever it holds. */
export type TakeMemory = (byteLength: number) => Buffer;

/** A batch in its envelope, in one piece of memory and one copy: what protobuf-es would write, but for padding before numbers. */
export function encodeEnvelopedBatch(batch: RowBatch, take: TakeMemory): Buffer {
  const firstRow = Number(batch.firstRow);
  const sizes = batch.columns.map(columnSize);
  let size = firstRow === 0 ? 0 : 1 + varintBytes(firstRow);
  if (batch.rowCount !== 0) size += 1 + varintBytes(batch.rowCount);
  const headBytes = 1 + varintBytes(sizes.reduce((sum, columnBytes) => sum + delimited(columnBytes), size));
  const paddings = batch.columns.map((column, i) => {
    const columnBytes = sizes[i] ?? 0;
    const padding = paddingAt(headBytes + size, column, columnBytes);
    size += delimited(columnBytes + padding);
    return padding;
  });
  if (batch.crc32 !== undefined) size += 5;
  if (batch.rowNumbers !== undefined) size += delimited(batch.rowNumbers.byteLength);
  const writer = new Writer(take(delimited(size)));
  writer.head(ENVELOPE_BATCH, size);
  if (firstRow !== 0) writer.head(FIRST_ROW, firstRow);
  if (batch.rowCount !== 0) writer.head(ROW_COUNT, batch.rowCount);
  for (const [i, column] of batch.columns.entries()) writeColumn(writer, column, sizes[i] ?? 0, paddings[i] ?? 0);
  if (batch.crc32 !== undefined) {
    writer.bytes[writer.at++] = CRC32;
    writer.at = writer.bytes.writeUInt32LE(batch.crc32, writer.at);
  }
  if (batch.rowNumbers !== undefined) writer.field(ROW_NUMBERS, batch.rowNumbers);
  return writer.bytes;
}

function writeColumn(writer: Writer, { values, validity }: Column, size: number, padding: number): void {
  writer.head(COLUMNS, size + padding);
  if (padding > 0) writer.field(PADDING, NOUGHTS.subarray(0, padding - 2));
  if (values.case === 'stringValues') {
    const { offsets, utf8 } = values.value;
    writer.head(STRING_VALUES, implicit(offsets) + implicit(utf8));
    if (offsets.byteLength > 0) writer.field(OFFSETS, offsets);
    if (utf8.byteLength > 0) writer.field(UTF8, utf8);
  } else if (values.case !== undefined) {
    writer.field(CASES[values.case], values.value);
  }
  if (validity.byteLength > 0) writer.field(VALIDITY, validity);
}
