import type { DescMessage } from '@bufbuild/protobuf';
import { Edition, StructSchema } from '@bufbuild/protobuf/wkt';
import { DECLINED, unlessDeclined } from './declined.js';

/** How a field's value is written: https://protobuf.dev/programming-guides/encoding/#structure */
export const VARINT = 0;
export const FIXED64 = 1;
export const LENGTH_DELIMITED = 2;
export const FIXED32 = 5;

/** Declines what is not of proto3, where fields have other defaults, or none, and the types that stand for JSON. */
export function checkPlain(schema: DescMessage): void {
  if (schema.file.edition !== Edition.EDITION_PROTO3 || schema.file === StructSchema.file) throw DECLINED;
}

/** Makes something of a message type when it is first needed, once: messages may hold each other. `declined`: for types that it declines. */
export function oncePerType<Made>(make: (schema: DescMessage) => Made, declined: Made): (schema: DescMessage) => Made {
  const known = new Map<DescMessage, Made>();
  return (schema) => {
    let made = known.get(schema);
    if (made === undefined) {
      made = unlessDeclined(
        () => make(schema),
        () => declined,
      );
      known.set(schema, made);
    }
    return made;
  };
}
