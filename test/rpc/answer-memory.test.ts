import { create, fromBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import {
  LoadResultResponseSchema,
  StorageService,
  type LoadResultResponse,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { LOAD_BATCH_BYTES_MAX } from '../../server/limits.js';
import { serviceDefinition } from '../../server/rpc/doors/definition.js';

const { LoadResult } = serviceDefinition(StorageService);
const serialized = (message: unknown) => LoadResult?.responseSerialize(message) as Buffer;

function rows(byteLength: number, value: number) {
  const columns = [{ values: { case: 'float64Values' as const, value: new Uint8Array(byteLength).fill(value) } }];
  return create(LoadResultResponseSchema, {
    message: { case: 'batch', value: { rowCount: byteLength / 8, columns } },
  });
}

/** Whether an answer has the rows; what is before them has no meaning. */
function isWhole(bytes: Buffer, { message }: LoadResultResponse): boolean {
  const valuesOf = (answer: LoadResultResponse['message']) =>
    answer.case === 'batch' ? (answer.value.columns[0]?.values.value as Uint8Array) : new Uint8Array(0);
  return Buffer.from(valuesOf(fromBinary(LoadResultResponseSchema, bytes).message)).equals(valuesOf(message));
}

test('rows of all answers are put into the same memory, few as well as many, and are theirs until the next', () => {
  const memories = new Set<ArrayBufferLike>();
  for (const [i, byteLength] of [LOAD_BATCH_BYTES_MAX, 320 * 1024, 8, 64 * 1024].entries()) {
    const message = rows(byteLength, i + 1);
    const bytes = serialized(message);
    memories.add(bytes.buffer);
    expect(isWhole(bytes, message)).toBe(true);
  }
  expect(memories.size).toBe(1);
});

test('an answer that is larger than that has memory of its own', () => {
  const kept = serialized(rows(8, 1)).buffer;
  const message = rows(LOAD_BATCH_BYTES_MAX * 2, 1);
  const bytes = serialized(message);
  expect(bytes.buffer).not.toBe(kept);
  expect(isWhole(bytes, message)).toBe(true);
});
