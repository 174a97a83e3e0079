import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SaveResultRequest } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { SaveResultRequestSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { decodeMessage, encodeMessage } from '../../server/rows/message-codec.js';

const bytes = fc.uint8Array({ maxLength: 200 });
const values = fc.oneof(
  fc.constant({ case: undefined }),
  fc.record({
    case: fc.constantFrom('float64Values' as const, 'int64Values' as const, 'boolValues' as const),
    value: bytes,
  }),
  fc.record({ case: fc.constant('stringValues' as const), value: fc.record({ offsets: bytes, utf8: bytes }) }),
);
const anyBatch = fc
  .record({
    firstRow: fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
    rowCount: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    columns: fc.array(fc.record({ values, validity: bytes }), { maxLength: 5 }),
    crc32: fc.option(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { nil: undefined }),
    rowNumbers: fc.option(bytes, { nil: undefined }),
  })
  .map(({ crc32, rowNumbers, ...rest }) =>
    create(SaveResultRequestSchema, {
      message: {
        case: 'batch',
        value: { ...rest, ...(crc32 !== undefined && { crc32 }), ...(rowNumbers !== undefined && { rowNumbers }) },
      },
    }),
  );

describe('a batch in its envelope', () => {
  test('is written as protobuf-es writes it', () => {
    fc.assert(
      fc.property(anyBatch, (request) => {
        const wanted = Buffer.from(toBinary(SaveResultRequestSchema, request));
        expect(encodeMessage(SaveResultRequestSchema, request).toString('hex')).toBe(wanted.toString('hex'));
      }),
    );
  });

  test('is read as protobuf-es reads it', () => {
    fc.assert(
      fc.property(anyBatch, (request) => {
        const encoded = toBinary(SaveResultRequestSchema, request);
        expect(decodeMessage(SaveResultRequestSchema, encoded)).toEqual(fromBinary(SaveResultRequestSchema, encoded));
      }),
    );
  });

  test('is read or refused as protobuf-es does when bytes are damaged, lost or added', () => {
    const attempt = (read: () => unknown) => {
      try {
        return read();
      } catch {
        return 'refused';
      }
    };
    const anyDamage = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }), keep: fc.nat(), more: bytes });
    fc.assert(
      fc.property(anyBatch, anyDamage, (request, { at, byte, keep, more }) => {
        const encoded = toBinary(SaveResultRequestSchema, request);
        const changed = encoded.slice();
        changed[at % encoded.length] = byte;
        const cases = [
          changed,
          encoded.subarray(0, keep % (encoded.length + 1)),
          new Uint8Array(Buffer.concat([encoded, more])),
        ];
        for (const damaged of cases) {
          const wanted = attempt(() => fromBinary(SaveResultRequestSchema, damaged));
          expect(attempt(() => decodeMessage(SaveResultRequestSchema, damaged))).toEqual(wanted);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('of which one has a field that is not known is read by protobuf-es', () => {
    const request = create(SaveResultRequestSchema, { message: { case: 'batch', value: { rowCount: 1 } } });
    const withMore = Buffer.concat([toBinary(SaveResultRequestSchema, request), Buffer.from([0x7a, 1, 7])]);
    const read = decodeMessage(SaveResultRequestSchema, withMore) as SaveResultRequest;
    expect(read.message).toMatchObject({ case: 'batch', value: { rowCount: 1 } });
    expect(read.$unknown).toHaveLength(1);
  });
});
