import { Bool, Field, Float64, Int64, MetadataVersion, Schema as ArrowSchema, Utf8, type DataType } from 'apache-arrow';
import { FileBlock, Footer } from 'apache-arrow/ipc/metadata/file';
import { BufferRegion, FieldNode, Message, RecordBatch } from 'apache-arrow/ipc/metadata/message';
import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { Direction, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import { aligned, ALIGNMENT_BYTES } from './alignment.js';
import { bitmapBytes, type Batch, type Schema } from './batch.js';
import { crc32 } from './checksum.js';
import { bitsAsBytes } from './validity.js';

/**
 * The Arrow IPC file format, https://arrow.apache.org/docs/format/Columnar.html: magic, schema, one record batch a block,
 * footer. Messages and buffers begin at multiples of 64 bytes. apache-arrow encodes the metadata; the buffers are written as
 * they are, so that each has its place and checksum in the sidecar.
 */
const MAGIC = Buffer.from('ARROW1');
const CONTINUATION = 0xffffffff;
const PREFIX_BYTES = 8;
const PADDING = new Uint8Array(ALIGNMENT_BYTES);

/** One buffer of a record batch, as the sidecar has it. */
export interface BufferCheck {
  readonly byteLength: number;
  readonly crc: number;
}

/** Where a record batch lies in a file. */
export interface BatchPlace {
  readonly offset: number;
  readonly headerBytes: number;
  readonly blockBytes: number;
}

/** A record batch ready to be written. */
export interface EncodedBatch {
  /** To be written one after the other. */
  readonly buffers: readonly Uint8Array[];
  readonly headerBytes: number;
  readonly headerCrc: number;
  readonly blockBytes: number;
  /** Of each column: validity, offsets of strings, values. */
  readonly checks: readonly BufferCheck[];
}

/** The schema of a result's rows; what else is said of a variable is metadata of its field. */
export function arrowSchema(variables: readonly Variable[], about: ReadonlyMap<string, string>): ArrowSchema {
  const fields = variables.map((variable) => {
    const { name, role, direction, valueType } = variable;
    const metadata = new Map([['role', VariableRole[role].toLowerCase()]]);
    if (direction !== Direction.UNSPECIFIED) metadata.set('direction', Direction[direction].toLowerCase());
    for (const [told, value] of [
      ['unit', variable.unit],
      ['description', variable.description],
      ['lower_bound', variable.lowerBound],
      ['upper_bound', variable.upperBound],
      ['ideal', variable.ideal],
      ['nadir', variable.nadir],
      ['target', variable.target],
      ['tolerance', variable.tolerance],
    ] as const)
      if (value !== undefined && value !== '') metadata.set(told, String(value));
    return new Field(name, arrowType(valueType), true, metadata);
  });
  return new ArrowSchema(fields, new Map(about), new Map(), MetadataVersion.V5);
}

function arrowType(type: ValueType): DataType {
  switch (type) {
    case ValueType.FLOAT64:
      return new Float64();
    case ValueType.INT64:
      return new Int64();
    case ValueType.BOOL:
      return new Bool();
    case ValueType.STRING:
      return new Utf8();
    case ValueType.UNSPECIFIED:
      throw new RangeError('a checked schema has no unspecified type');
    default:
      return type satisfies never;
  }
}

/** What a stream begins with, or what follows `before` bytes of a file. */
export function encodeSchema(schema: ArrowSchema, before = 0): Buffer {
  return messageBytes(Message.encode(Message.from(schema)), before);
}

/** What a file begins with. */
export function encodeHead(schema: ArrowSchema): Buffer {
  const magic = Buffer.alloc(8);
  MAGIC.copy(magic);
  return Buffer.concat([magic, encodeSchema(schema, magic.byteLength)]);
}

/** What a stream ends with, and the batches of a file. */
export function encodeStreamEnd(): Buffer {
  const end = Buffer.alloc(PREFIX_BYTES);
  end.writeUInt32LE(CONTINUATION, 0);
  return end;
}

/** What a file ends with. */
export function encodeTail(schema: ArrowSchema, blocks: readonly BatchPlace[]): Buffer {
  const batches = blocks.map(
    ({ headerBytes, blockBytes, offset }) => new FileBlock(headerBytes, blockBytes - headerBytes, offset),
  );
  const footer = Footer.encode(new Footer(schema, MetadataVersion.V5, batches, []));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.byteLength, 0);
  return Buffer.concat([encodeStreamEnd(), footer, length, MAGIC]);
}

/** A message's metadata with its prefix, padded so that what follows is aligned; `before`: bytes before it. */
function messageBytes(metadata: Uint8Array, before = 0): Buffer {
  const bytes = Buffer.alloc(aligned(before + PREFIX_BYTES + metadata.byteLength) - before);
  bytes.writeUInt32LE(CONTINUATION, 0);
  bytes.writeUInt32LE(bytes.byteLength - PREFIX_BYTES, 4);
  bytes.set(metadata, PREFIX_BYTES);
  return bytes;
}

/** Lays a batch out as a record batch; but for those of bools, the columns' buffers are used as they are, not copied. */
export function encodeBatch(schema: Schema, batch: Batch): EncodedBatch {
  const body: Uint8Array[] = [];
  const regions: BufferRegion[] = [];
  const checks: BufferCheck[] = [];
  let bodyBytes = 0;
  const add = (buffer: Uint8Array, crc = crc32(buffer)): void => {
    const { byteLength } = buffer;
    regions.push(new BufferRegion(bodyBytes, byteLength));
    checks.push({ byteLength, crc });
    const end = aligned(byteLength);
    body.push(buffer);
    if (end > byteLength) body.push(PADDING.subarray(0, end - byteLength));
    bodyBytes += end;
  };
  const nodes = batch.columns.map((column, i) => {
    add(column.validity ?? new Uint8Array(0));
    if (column.offsets !== undefined) add(column.offsets);
    if (schema[i] === ValueType.BOOL) add(packBits(column.values));
    else add(column.values, column.valuesCrc);
    return new FieldNode(batch.rowCount, missingCount(column.validity, batch.rowCount));
  });
  const record = new RecordBatch(batch.rowCount, nodes, regions, null);
  const header = messageBytes(Message.encode(Message.from(record, bodyBytes)));
  const { byteLength: headerBytes } = header;
  const blockBytes = headerBytes + bodyBytes;
  return { buffers: [header, ...body], headerBytes, headerCrc: crc32(header), blockBytes, checks };
}

function packBits(values: Uint8Array): Uint8Array {
  const bits = new Uint8Array(bitmapBytes(values.byteLength));
  for (let i = 0; i < values.byteLength; i++)
    bits[i >>> 3] = (bits[i >>> 3] as number) | ((values[i] as number) << (i & 7));
  return bits;
}

function missingCount(validity: Uint8Array | undefined, rowCount: number): number {
  if (validity === undefined) return 0;
  return bitsAsBytes(validity, rowCount).reduce((missing, bit) => missing + 1 - bit, 0);
}
