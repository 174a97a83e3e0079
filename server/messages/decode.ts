import {
  fromBinary,
  ScalarType,
  toJson,
  type DescField,
  type DescMessage,
  type MessageShape,
} from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence, isWrapperDesc, StructSchema } from '@bufbuild/protobuf/wkt';
import { DECLINED, orDecline, unlessDeclined } from './declined.js';
import { Input } from './input.js';
import { checkPlain, FIXED32, FIXED64, LENGTH_DELIMITED, oncePerType, VARINT } from './wire-types.js';

// See encode.ts.

/** Messages within messages; what is deeper is left to protobuf-es, which has a limit of its own. */
const DEPTH_MAX = 16;

type Fields = Record<string, unknown>;
type ReadValue = (input: Input, depth: number) => unknown;
/** Reads a field into a message; `wireType`: as it is written. */
type ReadField = (input: Input, message: Fields, wireType: number, depth: number) => void;
type Scalar = { readonly wireType: number; readonly read: ReadValue; readonly zero: unknown };

const NO_BYTES = new Uint8Array(0);

const SCALARS: Partial<Record<ScalarType, Scalar>> = {
  [ScalarType.STRING]: { wireType: LENGTH_DELIMITED, read: (input) => input.text(), zero: '' },
  [ScalarType.BYTES]: { wireType: LENGTH_DELIMITED, read: (input) => input.view8(), zero: NO_BYTES },
  [ScalarType.BOOL]: { wireType: VARINT, read: (input) => input.bool(), zero: false },
  [ScalarType.DOUBLE]: { wireType: FIXED64, read: (input) => input.double(), zero: 0 },
  [ScalarType.FIXED32]: { wireType: FIXED32, read: (input) => input.fixed32(), zero: 0 },
  [ScalarType.INT32]: { wireType: VARINT, read: (input) => input.int32(), zero: 0 },
  [ScalarType.UINT32]: { wireType: VARINT, read: (input) => input.uint32(), zero: 0 },
  [ScalarType.INT64]: { wireType: VARINT, read: (input) => input.int64(), zero: 0n },
  [ScalarType.UINT64]: { wireType: VARINT, read: (input) => input.varint64(), zero: 0n },
};

function scalarOf(type: ScalarType): Scalar {
  const scalar = SCALARS[type];
  if (scalar === undefined) throw DECLINED;
  return scalar;
}

/** How messages of a type are made, and their fields read, by number. */
interface Reading {
  readonly make: () => Fields;
  readonly fields: readonly (ReadField | undefined)[];
}

const readingOf = oncePerType<Reading>(newReading, {
  make: () => {
    throw DECLINED;
  },
  fields: [],
});

/** Decodes a message, as protobuf-es does; bytes fields are views. Error where it is none. */
export function decode<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array): MessageShape<Desc> {
  return unlessDeclined(
    () => read(readingOf(schema), new Input(bytes), 0) as MessageShape<Desc>,
    () => fromBinary(schema, bytes),
  );
}

function newReading(schema: DescMessage): Reading {
  checkPlain(schema);
  const fields: (ReadField | undefined)[] = [];
  for (const field of schema.fields) {
    // Numbers that are far apart would make it large.
    if (field.number > 255) throw DECLINED;
    fields[field.number] = fieldReader(field);
  }
  return { make: maker(schema), fields };
}

/** Makes a message in which nothing is set, of the shape that protobuf-es makes. */
function maker(schema: DescMessage): () => Fields {
  const scalars: Fields = { $typeName: schema.typeName };
  const fresh: [string, () => unknown][] = [];
  for (const member of schema.members) {
    const { localName } = member;
    if (member.kind === 'oneof') {
      scalars[localName] = undefined;
      fresh.push([localName, () => ({ case: undefined })]);
    } else if (member.presence === FeatureSet_FieldPresence.IMPLICIT) {
      scalars[localName] = member.fieldKind === 'scalar' ? scalarOf(member.scalar).zero : 0;
      if (member.fieldKind === 'list') fresh.push([localName, () => []]);
      if (member.fieldKind === 'map') fresh.push([localName, () => ({})]);
    }
  }
  return () => {
    const message = { ...scalars };
    for (const [name, make] of fresh) message[name] = make();
    return message;
  };
}

function read({ make, fields }: Reading, input: Input, depth: number): Fields {
  if (depth > DEPTH_MAX) throw DECLINED;
  const message = make();
  while (input.at < input.end) {
    const tag = input.varint();
    const readField = fields[Math.floor(tag / 8)];
    // protobuf-es keeps what it does not know.
    if (readField === undefined) throw DECLINED;
    readField(input, message, tag & 7, depth);
  }
  return message;
}

function fieldReader(field: DescField): ReadField {
  switch (field.fieldKind) {
    case 'scalar':
    case 'enum': {
      const scalar = scalarOf(field.fieldKind === 'enum' ? ScalarType.INT32 : field.scalar);
      return singular(field, scalar.wireType, scalar.read);
    }
    case 'message':
      return singular(field, LENGTH_DELIMITED, nested(field, field.message));
    case 'list':
      return listReader(field);
    case 'map':
      return mapReader(field);
    default:
      return field satisfies never;
  }
}

function singular(field: DescField, expected: number, readValue: ReadValue): ReadField {
  const { localName, oneof } = field;
  const isMessage = field.fieldKind === 'message';
  if (oneof !== undefined) {
    const group = oneof.localName;
    return (input, message, wireType, depth) => {
      // Two of them may have to be merged.
      if (wireType !== expected || (message[group] as { case?: string }).case !== undefined) throw DECLINED;
      message[group] = { case: localName, value: readValue(input, depth) };
    };
  }
  return (input, message, wireType, depth) => {
    if (wireType !== expected || (isMessage && message[localName] !== undefined)) throw DECLINED;
    message[localName] = readValue(input, depth);
  };
}

/** A message in a field. */
function nested(field: DescField, schema: DescMessage): ReadValue {
  if ((field.fieldKind === 'message' && field.delimitedEncoding) || isWrapperDesc(schema)) throw DECLINED;
  // protobuf-es has it as JSON in a message's field.
  if (schema.typeName === StructSchema.typeName)
    return (input) => {
      const bytes = input.view8();
      return orDecline(() => toJson(StructSchema, fromBinary(StructSchema, bytes)));
    };
  let reading: Reading | undefined;
  return (input, depth) => {
    const outer = input.enter();
    const message = read((reading ??= readingOf(schema)), input, depth + 1);
    input.leave(outer);
    return message;
  };
}

function listReader(field: DescField & { fieldKind: 'list' }): ReadField {
  const { localName } = field;
  if (field.listKind === 'message') {
    const readItem = nested(field, field.message);
    return (input, message, wireType, depth) => {
      if (wireType !== LENGTH_DELIMITED) throw DECLINED;
      (message[localName] as unknown[]).push(readItem(input, depth));
    };
  }
  const scalar = scalarOf(field.listKind === 'enum' ? ScalarType.INT32 : field.scalar);
  return (input, message, wireType, depth) => {
    const items = message[localName] as unknown[];
    if (wireType === scalar.wireType) items.push(scalar.read(input, depth));
    else if (wireType !== LENGTH_DELIMITED) throw DECLINED;
    else {
      const outer = input.enter();
      while (input.at < input.end) items.push(scalar.read(input, depth));
      input.leave(outer);
    }
  };
}

function mapReader(field: DescField & { fieldKind: 'map' }): ReadField {
  if (field.mapKey !== ScalarType.STRING || field.mapKind === 'message') throw DECLINED;
  const { localName } = field;
  const { wireType: valueType, read: readValue } = scalarOf(field.mapKind === 'enum' ? ScalarType.INT32 : field.scalar);
  return (input, message, wireType, depth) => {
    if (wireType !== LENGTH_DELIMITED) throw DECLINED;
    const outer = input.enter();
    if (input.varint() !== 8 + LENGTH_DELIMITED) throw DECLINED;
    const key = input.text();
    if (input.at >= input.end || input.varint() !== 16 + valueType) throw DECLINED;
    const value = readValue(input, depth);
    // Set like another, it would be the object's prototype.
    if (input.at < input.end || key === '__proto__') throw DECLINED;
    input.leave(outer);
    (message[localName] as Fields)[key] = value;
  };
}
