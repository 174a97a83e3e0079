import {
  fromJson,
  ScalarType,
  toBinary,
  type DescField,
  type DescMessage,
  type JsonValue,
  type MessageShape,
} from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence, isWrapperDesc, StructSchema } from '@bufbuild/protobuf/wkt';
import { DECLINED, orDecline, unlessDeclined } from './declined.js';
import { Output } from './output.js';
import { checkPlain, FIXED32, FIXED64, LENGTH_DELIMITED, oncePerType, VARINT } from './wire-types.js';

/*
 * protobuf-es reflects over the descriptor for each field of each message: 0.3 ms for the manifest of a result with 40 columns,
 * which a save encodes six times. Here the descriptor is looked at once, and made into functions; what they write is what protobuf-es
 * writes, byte for byte. What is not of the usual kind they decline, and protobuf-es does it. See docs/decisions/0013.
 */

type Fields = Readonly<Record<string, unknown>>;
type WriteValue = (out: Output, value: unknown) => void;
type WriteField = (out: Output, message: Fields) => void;
type Scalar = { readonly wireType: number; readonly write: WriteValue; readonly isZero: (value: unknown) => boolean };

const isZeroNumber = (value: unknown) => Object.is(value, 0);
const isZeroBigint = (value: unknown) => value === 0n;

const SCALARS: Partial<Record<ScalarType, Scalar>> = {
  [ScalarType.STRING]: {
    wireType: LENGTH_DELIMITED,
    write: (out, value) => out.text(value),
    isZero: (value) => value === '',
  },
  [ScalarType.BYTES]: {
    wireType: LENGTH_DELIMITED,
    write: (out, value) => out.bytes(value),
    isZero: (value) => value instanceof Uint8Array && value.byteLength === 0,
  },
  [ScalarType.BOOL]: { wireType: VARINT, write: (out, value) => out.bool(value), isZero: (value) => value === false },
  [ScalarType.DOUBLE]: { wireType: FIXED64, write: (out, value) => out.double(value), isZero: isZeroNumber },
  [ScalarType.FIXED32]: { wireType: FIXED32, write: (out, value) => out.fixed32(value), isZero: isZeroNumber },
  [ScalarType.INT32]: { wireType: VARINT, write: (out, value) => out.int32(value), isZero: isZeroNumber },
  [ScalarType.UINT32]: { wireType: VARINT, write: (out, value) => out.uint32(value), isZero: isZeroNumber },
  [ScalarType.INT64]: { wireType: VARINT, write: (out, value) => out.varint64(value), isZero: isZeroBigint },
  [ScalarType.UINT64]: { wireType: VARINT, write: (out, value) => out.varint64(value), isZero: isZeroBigint },
};

function scalarOf(type: ScalarType): Scalar {
  const scalar = SCALARS[type];
  if (scalar === undefined) throw DECLINED;
  return scalar;
}

const out = new Output();

/** Encodes a message, as protobuf-es does. `ahead`: room for so many bytes before it, whatever they hold. */
export function encode<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>, ahead = 0): Buffer {
  return unlessDeclined(
    () => {
      write(schema, message);
      return out.copy(ahead);
    },
    () => Buffer.concat([Buffer.alloc(ahead), toBinary(schema, message)]),
  );
}

/** How many bytes a message has when it is encoded. */
export function encodedBytes<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): number {
  return unlessDeclined(
    () => {
      write(schema, message);
      return out.byteLength;
    },
    () => toBinary(schema, message).byteLength,
  );
}

function write(schema: DescMessage, message: unknown): void {
  out.clear();
  writerOf(schema)(out, message as Fields);
}

const writerOf = oncePerType<WriteField>(messageWriter, () => {
  throw DECLINED;
});

function messageWriter(schema: DescMessage): WriteField {
  checkPlain(schema);
  const fields = [...schema.fields].sort((a, b) => a.number - b.number).map(fieldWriter);
  return (to, message) => {
    for (const writeField of fields) writeField(to, message);
    if (message['$unknown'] !== undefined) writeUnknown(to, message['$unknown'] as readonly Unknown[]);
  };
}

interface Unknown {
  readonly no: number;
  readonly wireType: number;
  readonly data: Uint8Array;
}

function writeUnknown(to: Output, unknown: readonly Unknown[]): void {
  for (const { no, wireType, data } of unknown) {
    to.varint(no * 8 + wireType);
    to.raw(data);
  }
}

function fieldWriter(field: DescField): WriteField {
  switch (field.fieldKind) {
    case 'scalar':
    case 'enum':
      return singularWriter(field);
    case 'message':
      return singular(field, field.number * 8 + LENGTH_DELIMITED, nested(field, field.message));
    case 'list':
      return listWriter(field);
    case 'map':
      return mapWriter(field);
    default:
      return field satisfies never;
  }
}

/** Of a field that is there, or not. */
function singular(field: DescField, tag: number, writeValue: WriteValue): WriteField {
  const { localName, oneof } = field;
  if (oneof !== undefined) {
    const group = oneof.localName;
    return (to, message) => {
      const chosen = message[group] as { case?: string; value?: unknown };
      if (chosen.case !== localName) return;
      to.varint(tag);
      writeValue(to, chosen.value);
    };
  }
  return (to, message) => {
    const value = message[localName];
    if (value === undefined) return;
    to.varint(tag);
    writeValue(to, value);
  };
}

function singularWriter(field: DescField & { fieldKind: 'scalar' | 'enum' }): WriteField {
  const scalar = scalarOf(field.fieldKind === 'enum' ? ScalarType.INT32 : field.scalar);
  const tag = field.number * 8 + scalar.wireType;
  if (field.oneof !== undefined || field.presence !== FeatureSet_FieldPresence.IMPLICIT)
    return singular(field, tag, scalar.write);
  const { localName } = field;
  return (to, message) => {
    const value = message[localName];
    if (scalar.isZero(value)) return;
    to.varint(tag);
    scalar.write(to, value);
  };
}

/** A message in a field. */
function nested(field: DescField, schema: DescMessage): WriteValue {
  if ((field.fieldKind === 'message' && field.delimitedEncoding) || isWrapperDesc(schema)) throw DECLINED;
  // protobuf-es has it as JSON in a message's field.
  if (schema.typeName === StructSchema.typeName)
    return (to, value) => to.bytes(orDecline(() => toBinary(StructSchema, fromJson(StructSchema, value as JsonValue))));
  let writeMessage: WriteField | undefined;
  return (to, value) => {
    if (typeof value !== 'object' || value === null) throw DECLINED;
    const start = to.begin();
    (writeMessage ??= writerOf(schema))(to, value as Fields);
    to.end(start);
  };
}

function listWriter(field: DescField & { fieldKind: 'list' }): WriteField {
  const { localName } = field;
  const one = field.number * 8;
  if (field.listKind === 'message') {
    const writeItem = nested(field, field.message);
    return (to, message) => {
      for (const item of message[localName] as readonly unknown[]) {
        to.varint(one + LENGTH_DELIMITED);
        writeItem(to, item);
      }
    };
  }
  const scalar = scalarOf(field.listKind === 'enum' ? ScalarType.INT32 : field.scalar);
  return (to, message) => {
    const items = message[localName] as readonly unknown[];
    if (items.length === 0) return;
    if (field.packed) {
      to.varint(one + LENGTH_DELIMITED);
      const start = to.begin();
      for (const item of items) scalar.write(to, item);
      to.end(start);
    } else {
      for (const item of items) {
        to.varint(one + scalar.wireType);
        scalar.write(to, item);
      }
    }
  };
}

function mapWriter(field: DescField & { fieldKind: 'map' }): WriteField {
  // Keys of other kinds would have to be made of text first.
  if (field.mapKey !== ScalarType.STRING || field.mapKind === 'message') throw DECLINED;
  const { localName } = field;
  const tag = field.number * 8 + LENGTH_DELIMITED;
  const scalar = scalarOf(field.mapKind === 'enum' ? ScalarType.INT32 : field.scalar);
  return (to, message) => {
    for (const [key, value] of Object.entries(message[localName] as object)) {
      to.varint(tag);
      const start = to.begin();
      to.varint(8 + LENGTH_DELIMITED);
      to.text(key);
      to.varint(16 + scalar.wireType);
      scalar.write(to, value);
      to.end(start);
    }
  };
}
