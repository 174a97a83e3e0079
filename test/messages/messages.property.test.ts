import { create, fromBinary, toBinary, type DescMessage, type Message } from '@bufbuild/protobuf';
import { StringValueSchema, TimestampSchema, ValueSchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { file_optistore_storage_v1_manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { VariableSchema } from '../../proto/gen/optistore/v1/problem_pb.js';
import { file_optistore_v1_result, ResultSchema } from '../../proto/gen/optistore/v1/result_pb.js';
import { file_optistore_v1_storage_service } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { decode } from '../../server/messages/decode.js';
import { encode, encodedBytes } from '../../server/messages/encode.js';
import { arbitraryMessage } from './arbitrary-message.js';

const FILES = [file_optistore_storage_v1_manifest, file_optistore_v1_result, file_optistore_v1_storage_service];
const SCHEMAS = FILES.flatMap((file) => file.messages).filter((schema) => schema.fields.length > 0);

/** What an act gives, or that it fails. */
const outcome = <T>(act: () => T): T | 'fails' => {
  try {
    return act();
  } catch {
    return 'fails';
  }
};

describe.each(SCHEMAS.map((schema) => [schema.typeName, schema] as const))('%s', (_, schema: DescMessage) => {
  test('is encoded as by protobuf-es, byte for byte, and its size is known', () => {
    fc.assert(
      fc.property(arbitraryMessage(schema), (message: Message) => {
        const bytes = Buffer.from(toBinary(schema, message));
        expect(encode(schema, message).equals(bytes)).toBe(true);
        expect(encodedBytes(schema, message)).toBe(bytes.byteLength);
        expect(encode(schema, message, 7).subarray(7).equals(bytes)).toBe(true);
      }),
      { numRuns: 10 },
    );
  });

  test('is decoded as by protobuf-es', () => {
    fc.assert(
      fc.property(arbitraryMessage(schema), (message: Message) => {
        const bytes = toBinary(schema, message);
        expect(decode(schema, bytes)).toEqual(fromBinary(schema, bytes));
      }),
      { numRuns: 10 },
    );
  });

  test('is decoded as by protobuf-es, or fails as there, where it was cut, changed or put together', () => {
    const broken = fc
      .tuple(arbitraryMessage(schema), arbitraryMessage(schema), fc.nat(), fc.nat(), fc.nat(255), fc.nat(3))
      .map(([message, other, cut, at, byte, how]) => {
        const bytes = Buffer.concat([toBinary(schema, message), how === 0 ? toBinary(schema, other) : Buffer.alloc(0)]);
        if (how === 1) return bytes.subarray(0, cut % (bytes.byteLength + 1));
        if (how === 2 && bytes.byteLength > 0) bytes[at % bytes.byteLength] = byte;
        return bytes;
      });
    fc.assert(
      fc.property(broken, (bytes) => {
        const expected = outcome(() => fromBinary(schema, bytes));
        const got = outcome(() => decode(schema, bytes));
        expect(got).toEqual(expected);
      }),
      { numRuns: 20 },
    );
  });
});

describe('what is not of the usual kind is left to protobuf-es', () => {
  test('fields of a later version are kept', () => {
    const bytes = Buffer.concat([
      toBinary(ResultSchema, create(ResultSchema, { key: 'k', revision: 3n })),
      Buffer.from([0xfa, 0x7f, 3, 1, 2, 3]),
    ]);
    const decoded = decode(ResultSchema, bytes);
    expect(decoded.$unknown).toHaveLength(1);
    expect(encode(ResultSchema, decoded).equals(bytes)).toBe(true);
  });

  test('values of another type are taken as there, or refused with its words', () => {
    const bad = [
      ...[{ valueType: 2 ** 40 }, { valueType: 1.5 }, { valueType: '3' }, { name: 7 }, { name: null }],
      ...[{ upperBound: 1n }, { upperBound: '5' }, { lowerBound: [5] }],
    ];
    const told = (act: () => Uint8Array) => {
      try {
        return Buffer.from(act()).toString('hex');
      } catch (error) {
        return String(error);
      }
    };
    const answers = bad.map((fields) => {
      const variable = create(VariableSchema, fields as never);
      const answer = told(() => encode(VariableSchema, variable));
      expect(answer).toBe(told(() => toBinary(VariableSchema, variable)));
      return answer;
    });
    expect(answers.filter((answer) => answer.includes('cannot encode')).length).toBeGreaterThan(2);
    const late = create(TimestampSchema, { seconds: 2n ** 64n });
    expect(told(() => encode(TimestampSchema, late))).toMatch(/cannot encode/);
  });

  test('the types of google.protobuf that stand for others', () => {
    for (const [schema, message] of [
      [StringValueSchema, create(StringValueSchema, { value: 'x' })],
      [ValueSchema, create(ValueSchema, { kind: { case: 'stringValue', value: 'x' } })],
    ] as const)
      expect(outcome(() => encode(schema, message).toString('hex'))).toEqual(
        outcome(() => Buffer.from(toBinary(schema, message)).toString('hex')),
      );
  });
});
