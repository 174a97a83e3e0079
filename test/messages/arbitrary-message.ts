import { create, ScalarType, type DescField, type DescMessage, type Message } from '@bufbuild/protobuf';
import { StructSchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';

const INT64 = [-(2n ** 63n), -(2n ** 53n), -1n, 0n, 1n, 127n, 128n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n];

const uint32 = fc.oneof(fc.nat(), fc.constantFrom(0, 127, 128, 2 ** 32 - 1));

const SCALARS: Partial<Record<ScalarType, fc.Arbitrary<unknown>>> = {
  [ScalarType.STRING]: fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.constantFrom('x'.repeat(127), 'x'.repeat(128), '\ufffd', '\u0000', '\ud800'),
  ),
  [ScalarType.BYTES]: fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(new Uint8Array(17_000))),
  [ScalarType.BOOL]: fc.boolean(),
  [ScalarType.DOUBLE]: fc.oneof(fc.double(), fc.constantFrom(0, -0, NaN, Infinity, -Infinity)),
  [ScalarType.INT32]: fc.oneof(fc.integer(), fc.constantFrom(-(2 ** 31), -1, 0, 1, 2 ** 31 - 1)),
  [ScalarType.UINT32]: uint32,
  [ScalarType.FIXED32]: uint32,
  [ScalarType.INT64]: fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.constantFrom(...INT64)),
  [ScalarType.UINT64]: fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.constantFrom(0n, 1n, 2n ** 63n, 2n ** 64n - 1n),
  ),
};

function scalar(type: ScalarType): fc.Arbitrary<unknown> {
  const arbitrary = SCALARS[type];
  if (arbitrary === undefined) throw new Error(`the contract has no ${String(ScalarType[type])}`);
  return arbitrary;
}

const json = fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 });

function message(schema: DescMessage, depth: number): fc.Arbitrary<unknown> {
  return schema.typeName === StructSchema.typeName ? json : arbitraryMessage(schema, depth - 1);
}

function value(field: DescField, depth: number): fc.Arbitrary<unknown> {
  const of = (kind: string | undefined) =>
    kind === 'message'
      ? message((field as { message: DescMessage }).message, depth)
      : kind === 'enum'
        ? fc.oneof(fc.constantFrom(...(field.enum?.values ?? []).map((one) => one.number)), fc.constant(77))
        : scalar(field.scalar ?? ScalarType.INT32);
  if (field.fieldKind === 'list') return fc.array(of(field.listKind), { maxLength: 4 });
  if (field.fieldKind === 'map') return fc.dictionary(fc.string({ maxLength: 10 }), of(field.mapKind), { maxKeys: 3 });
  return of(field.fieldKind);
}

/** Any message of a type, with messages inside to some depth. */
export function arbitraryMessage(schema: DescMessage, depth = 4): fc.Arbitrary<Message> {
  const fields = schema.fields.filter(
    (field) => field.oneof === undefined && (depth > 0 || (field.message === undefined && field.fieldKind !== 'map')),
  );
  const plain = fc.record(Object.fromEntries(fields.map((field) => [field.localName, value(field, depth)])), {
    requiredKeys: [],
  });
  const groups = fc.record(
    Object.fromEntries(
      schema.oneofs.map((oneof) => [
        oneof.localName,
        fc.oneof(
          fc.constant({ case: undefined }),
          ...oneof.fields
            .filter((field) => depth > 0 || field.message === undefined)
            .map((field) => value(field, depth).map((one) => ({ case: field.localName, value: one }))),
        ),
      ]),
    ),
  );
  return fc.tuple(plain, groups).map(([one, other]) => create(schema, { ...one, ...other }));
}
