import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RowBatch } from '../../proto/gen/optistore/v1/rows_pb.js';
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
const batchWith = (padding: fc.Arbitrary<Uint8Array>) =>
  fc
    .record({
      firstRow: fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
      rowCount: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      columns: fc.array(fc.record({ values, validity: bytes, padding }), { maxLength: 5 }),
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
/** What is written has padding of its own. */
const anyBatch = batchWith(fc.constant(new Uint8Array(0)));
const anyPadded = batchWith(bytes);

describe('a batch in its envelope', () => {
  test('is written as protobuf-es writes it', () => {
    fc.assert(
      fc.property(anyBatch, (request) => {
        const wanted = Buffer.from(toBinary(SaveResultRequestSchema, request));
        expect(encodeMessage(SaveResultRequestSchema, request).toString('hex')).toBe(wanted.toString('hex'));
      }),
    );
  });

  test('has its numbers where they can be used as they lie, from 1 KiB on', () => {
    const numbers = fc.uint8Array({ minLength: 1024, maxLength: 40_000 });
    const column = fc.record({ values: fc.record({ case: fc.constant('float64Values' as const), value: numbers }) });
    let aligned = 0;
    let all = 0;
    fc.assert(
      fc.property(fc.array(column, { minLength: 1, maxLength: 8 }), fc.nat(), (columns, firstRow) => {
        const message = { case: 'batch' as const, value: { columns, firstRow: BigInt(firstRow), rowCount: 1 } };
        const request = create(SaveResultRequestSchema, { message });
        const encoded = encodeMessage(SaveResultRequestSchema, request, (byteLength) => Buffer.alloc(byteLength, 0xff));
        const read = fromBinary(SaveResultRequestSchema, encoded);
        for (const { values, padding } of (read.message.value as RowBatch).columns) {
          expect(padding.every((byte) => byte === 0) && padding.byteLength < 8).toBe(true);
          all++;
          if (((values.value as Uint8Array).byteOffset - encoded.byteOffset + 5) % 8 === 0) aligned++;
        }
        const { value } = read.message as { value: RowBatch };
        value.columns = value.columns.map((one) => ({ ...one, padding: new Uint8Array(0) }));
        expect(toBinary(SaveResultRequestSchema, read)).toEqual(toBinary(SaveResultRequestSchema, request));
      }),
    );
    // Where padding makes a length a byte longer, it misses.
    expect(aligned / all).toBeGreaterThan(0.95);
  });

  test('is read as protobuf-es reads it', () => {
    fc.assert(
      fc.property(anyPadded, (request) => {
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
      fc.property(anyPadded, anyDamage, (request, { at, byte, keep, more }) => {
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
