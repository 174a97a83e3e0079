import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Backend } from '../../proto/gen/optistore/v1/result_pb.js';
import type { LoadHeader, LoadResultResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { LoadResultRequestSchema, LoadResultResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { Channel } from '../../clients/typescript/channel.js';
import { toOptistoreError } from '../../clients/typescript/errors.js';
import { createClient, ValueType, VariableRole, type OptistoreClient } from '../../clients/typescript/index.js';
import { checkBatch } from '../../server/rows/check.js';
import { schemaOf, type Batch } from '../../server/rows/batch.js';
import { TestDaemon } from './wire.js';

const variables = ['a', 'b', 'c'].map((name) => ({
  name,
  role: VariableRole.OBSERVABLE,
  valueType: ValueType.FLOAT64,
}));

/** a is the row's number, b its double, c its negative. */
function rows(first: number, count: number, factor = 1) {
  const a = Float64Array.from({ length: count }, (_, i) => (first + i) * factor);
  return { a, b: a.map((value) => value * 2), c: a.map((value) => -value) };
}

let daemon: TestDaemon;
let client: OptistoreClient;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  client = createClient({ address: daemon.address, retryMs: 0 });
});

afterAll(async () => {
  client.close();
  await daemon[Symbol.asyncDispose]();
});

async function save(key: string, count: number, factor = 1): Promise<void> {
  const writer = await client.save(key, { variables });
  if (count > 0) await writer.append(rows(0, count, factor));
  await writer.commit();
}

interface Load {
  readonly header: LoadHeader;
  readonly batches: Batch[];
  readonly trailerRows: bigint | undefined;
  readonly messageBytesMax: number;
}

/** A raw load: what came, with each batch's checksum checked. */
async function load(
  request: MessageInitShape<typeof LoadResultRequestSchema>,
  meanwhile: (batchCount: number) => Promise<void> = () => Promise.resolve(),
): Promise<Load> {
  const channel = new Channel(daemon.address);
  let header: LoadHeader | undefined;
  const batches: Batch[] = [];
  let trailerRows: bigint | undefined;
  let messageBytesMax = 0;
  try {
    for await (const response of channel.load(
      create(LoadResultRequestSchema, request),
    ) as AsyncIterable<LoadResultResponse>) {
      messageBytesMax = Math.max(messageBytesMax, toBinary(LoadResultResponseSchema, response).byteLength);
      const { message } = response;
      if (message.case === 'header') header = message.value;
      else if (message.case === 'trailer') trailerRows = message.value.rowCount;
      else if (message.case === 'batch') {
        expect(message.value.crc32).toBeDefined();
        batches.push(checkBatch(schemaOf(header?.variables ?? []), message.value));
        await meanwhile(batches.length);
      }
    }
  } catch (error) {
    throw toOptistoreError(error, daemon.address);
  } finally {
    channel.close();
  }
  if (header === undefined) throw new Error('there was no header');
  return { header, batches, trailerRows, messageBytesMax };
}

/** All values of the column at a place. */
function valuesOf({ batches }: Load, column: number): number[] {
  return batches.flatMap((batch) => {
    const bytes = new Uint8Array(batch.columns[column]?.values ?? []);
    return [...new Float64Array(bytes.buffer)];
  });
}

describe('LoadResult', () => {
  test('sends a header, batches that follow each other, and a trailer', async () => {
    await save('plain', 1000);
    const loaded = await load({ key: 'plain' });
    expect(loaded.header).toMatchObject({ firstRow: 0n, rowCount: 1000n, servedFrom: Backend.PRIMARY });
    expect(loaded.header.result).toMatchObject({ key: 'plain', revision: 1n, rowCount: 1000n });
    expect(loaded.header.variables.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    expect(loaded.trailerRows).toBe(1000n);
    expect(valuesOf(loaded, 2)).toEqual([...rows(0, 1000).c]);
    expect((await load({ key: 'plain' })).header.servedFrom).toBe(Backend.CACHE);
  });

  test('sends the chosen columns in the order asked for', async () => {
    await save('columns', 10);
    const loaded = await load({ key: 'columns', columns: ['c', 'a'] });
    expect(loaded.header.variables.map(({ name }) => name)).toEqual(['c', 'a']);
    expect([valuesOf(loaded, 0), valuesOf(loaded, 1)]).toEqual([[...rows(0, 10).c], [...rows(0, 10).a]]);
  });

  test.each([
    ['from a row on', { firstRow: 990n }, 990, 10],
    ['some rows', { firstRow: 5n, rowCount: 3n }, 5, 3],
    ['more rows than there are', { firstRow: 998n, rowCount: 50n }, 998, 2],
    ['no rows: header and trailer only', { rowCount: 0n }, 0, 0],
    ['from behind the last row', { firstRow: 1000n }, 1000, 0],
  ])('%s', async (_, range, first, count) => {
    await save('range', 1000);
    const loaded = await load({ key: 'range', ...range });
    expect(loaded.header).toMatchObject({ firstRow: BigInt(first), rowCount: BigInt(count) });
    expect(valuesOf(loaded, 0)).toEqual([...rows(first, count).a]);
    expect(loaded.trailerRows).toBe(BigInt(count));
    if (count === 0) expect(loaded.batches).toEqual([]);
  });

  test('keeps messages under the size asked for, and under 4 MiB', async () => {
    await save('sizes', 400_000);
    for (const maxBatchBytes of [65_536, 0, 3 << 20]) {
      const loaded = await load({ key: 'sizes', maxBatchBytes });
      const limit = maxBatchBytes === 0 ? 1 << 20 : maxBatchBytes;
      expect(loaded.messageBytesMax).toBeLessThan(Math.min(limit * 1.1 + 1024, 4 << 20));
      // Pieces are never joined beyond what is stored together: 1 MiB.
      expect(loaded.batches.length).toBeLessThan(2 * Math.ceil((400_000 * 24) / Math.min(limit, 1 << 20)));
      expect(valuesOf(loaded, 1).length).toBe(400_000);
    }
  });

  test('of rows saved one by one has large batches', async () => {
    const writer = await client.save('one-by-one', { variables });
    for (let row = 0; row < 3000; row++) {
      await writer.append({ a: [row], b: [2 * row], c: [-row] });
      if (row % 500 === 0) await writer.flush();
    }
    await writer.commit();
    const loaded = await load({ key: 'one-by-one' });
    expect(loaded.batches.length).toBe(1);
    expect(valuesOf(loaded, 1)).toEqual([...rows(0, 3000).b]);
  });

  test('of a revision that was superseded still gives that one, and goes on in it after a break', async () => {
    await save('revisions', 100, 1);
    await save('revisions', 100, 7);
    const old = await load({ key: 'revisions', revision: 1n, firstRow: 50n });
    expect(old.header.result?.revision).toBe(1n);
    expect(valuesOf(old, 0)).toEqual([...rows(50, 50, 1).a]);
    expect(valuesOf(await load({ key: 'revisions' }), 0)).toEqual([...rows(0, 100, 7).a]);
  });

  test('that runs goes on to its end when the key is deleted and saved anew', async () => {
    await save('changed', 600_000, 1);
    const loaded = await load({ key: 'changed', maxBatchBytes: 65_536 }, async (batchCount) => {
      if (batchCount === 1) await client.deleteResult('changed');
      if (batchCount === 2) await save('changed', 5, 3);
    });
    expect(valuesOf(loaded, 0).length).toBe(600_000);
    expect(valuesOf(loaded, 0).at(-1)).toBe(599_999);
    expect(valuesOf(await load({ key: 'changed' }), 0)).toEqual([...rows(0, 5, 3).a]);
  });
});

describe('what LoadResult refuses', () => {
  beforeAll(() => save('there', 10));

  test.each([
    ['an empty key', { key: '' }, 'KEY_INVALID', 3],
    ['a key that is not there', { key: 'nowhere' }, 'RESULT_NOT_FOUND', 5],
    ['a column that is not there', { key: 'there', columns: ['a', 'z'] }, 'COLUMN_NOT_FOUND', 5],
    ['a column twice', { key: 'there', columns: ['a', 'a'] }, 'REQUEST_INVALID', 3],
    ['a revision that is not there', { key: 'there', revision: 9n }, 'REVISION_NOT_FOUND', 5],
    ['rows beyond the last', { key: 'there', firstRow: 11n }, 'ROW_RANGE_INVALID', 11],
    ['batches too small', { key: 'there', maxBatchBytes: 1 }, 'REQUEST_INVALID', 3],
    ['batches too large', { key: 'there', maxBatchBytes: 4 << 20 }, 'REQUEST_INVALID', 3],
    ['a row number beyond 2^53', { key: 'there', firstRow: 2n ** 60n }, 'ROW_RANGE_INVALID', 11],
  ])('%s', async (_, request, reason, code) => {
    await expect(load(request)).rejects.toMatchObject({ reason, code });
  });

  test('a deleted result, whose last revision can be had for a while', async () => {
    await save('deleted', 3);
    await client.deleteResult('deleted');
    await expect(load({ key: 'deleted' })).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND', code: 5 });
    expect(valuesOf(await load({ key: 'deleted', revision: 1n }), 0)).toEqual([0, 1, 2]);
  });
});

test('damage on disk is DATA_LOSS for who asks for the damaged column, and nothing to who does not', async () => {
  await using own = await TestDaemon.start();
  const mine = createClient({ address: own.address, retryMs: 0 });
  const writer = await mine.save('damaged', { variables });
  await writer.append(rows(0, 300_000));
  await writer.commit();
  const folder = join(own.folder, 'data', 'segments');
  const [name = ''] = await readdir(folder);
  const bytes = await readFile(join(folder, name));
  // The bytes of 150,000.0 as `c`, which is negative: they are found once.
  const at = bytes.indexOf(Buffer.from(Float64Array.of(-150_000).buffer));
  expect(at).toBeGreaterThan(0);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(join(folder, name), bytes);
  const { columns } = await mine.load('damaged', { columns: ['a', 'b'] }).toColumns();
  expect(columns['b']?.values.length).toBe(300_000);
  const failure = { reason: 'RESULT_CORRUPT', code: 15 };
  await expect(mine.load('damaged', { columns: ['c'] }).toColumns()).rejects.toMatchObject(failure);
  await expect(mine.load('damaged').toColumns()).rejects.toMatchObject(failure);
  expect((await mine.load('damaged', { columns: ['c'], rows: [0, 10] }).toColumns()).columns['c']?.values[9]).toBe(-9);
  mine.close();
});
