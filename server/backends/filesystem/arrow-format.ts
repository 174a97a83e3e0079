import { Bool, Field, Float64, Int64, MetadataVersion, Schema as ArrowSchema, Utf8, type DataType } from 'apache-arrow';
import { FileBlock, Footer } from 'apache-arrow/ipc/metadata/file';
import { BufferRegion, FieldNode, Message, RecordBatch } from 'apache-arrow/ipc/metadata/message';
import type { Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { Direction, ValueType, VariableRole } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { crc32 } from '../../rows/checksum.js';
import { bitmapBytes, type Batch, type Column, type Schema } from '../../rows/batch.js';
import { bitsAsBytes } from '../../rows/validity.js';
import { aligned, ALIGNMENT_BYTES, type BlockEntry, type BlockHeader } from '../blocks/block-format.js';

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

/** What a file begins with. */
export function encodeHead(schema: ArrowSchema): Buffer {
  const magic = Buffer.alloc(8);
  MAGIC.copy(magic);
  return Buffer.concat([magic, messageBytes(Message.encode(Message.from(schema)), magic.byteLength)]);
}

/** What a file ends with. */
export function encodeTail(schema: ArrowSchema, blocks: readonly BlockEntry[]): Buffer {
  const end = Buffer.alloc(PREFIX_BYTES);
  end.writeUInt32LE(CONTINUATION, 0);
  const batches = blocks.map(
    ({ headerBytes, blockBytes, offset }) => new FileBlock(headerBytes, blockBytes - headerBytes, offset),
  );
  const footer = Footer.encode(new Footer(schema, MetadataVersion.V5, batches, []));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.byteLength, 0);
  return Buffer.concat([end, footer, length, MAGIC]);
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

/** Where the buffers of a record batch lie. Undefined: the checks are not those of such a schema. */
export function layOut(schema: Schema, entry: BlockEntry, checks: readonly BufferCheck[]): BlockHeader | undefined {
  let at = entry.headerBytes;
  let next = 0;
  const take = () => {
    const { byteLength, crc } = checks[next++] ?? { byteLength: 0, crc: 0 };
    const place = { at, byteLength, crc };
    at += aligned(byteLength);
    return place;
  };
  const columns = schema.map((type) => {
    const validity = take();
    const offsets = type === ValueType.STRING ? take() : undefined;
    return { offsets, values: take(), validity: validity.byteLength === 0 ? undefined : validity };
  });
  return next === checks.length && at === entry.blockBytes ? { entry, mark: 0n, columns } : undefined;
}

/** The selected columns as a batch has them: bools as a byte each. */
export function fromArrow(schema: Schema, batch: Batch): Batch {
  if (!schema.includes(ValueType.BOOL)) return batch;
  const columns = batch.columns.map((column, i): Column => {
    if (schema[i] !== ValueType.BOOL) return column;
    return { values: bitsAsBytes(column.values, batch.rowCount), offsets: undefined, validity: column.validity };
  });
  return { ...batch, columns };
}
