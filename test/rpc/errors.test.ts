import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SaveOpenSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { GetResultRequestSchema, SaveResultRequestSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { createClient } from '../../clients/typescript/index.js';
import type { OptistoreError } from '../../clients/typescript/errors.js';
import { explainGrpcJs } from '../../clients/typescript/grpc-js-link.js';
import { DaemonProcess } from '../../clients/cli/daemon-process.js';
import { all } from '../backends/runs.js';
import { MAIN, PROBLEM, RawSave, rowsFrom, sharedDaemon, TestDaemon } from './wire.js';

type Open = MessageInitShape<typeof SaveOpenSchema>;
const MIB = 1024 * 1024;
const FLOAT = { name: 'x', role: 1, valueType: 1 };

const { daemon, client } = await sharedDaemon();
let count = 0;

/** A call of raw bytes, such as no client sends. */
async function callWith(method: string, bytes: Buffer, isStream = false): Promise<OptistoreError> {
  const raw = new Client(daemon.address, credentials.createInsecure(), { 'grpc.max_send_message_length': -1 });
  const [path, same] = [`/optistore.v1.StorageService/${method}`, (buffer: Buffer) => buffer];
  try {
    return await new Promise((resolve, reject) => {
      const fail = (error: unknown) => resolve(explainGrpcJs(error, daemon.address));
      if (isStream) {
        const stream = raw.makeBidiStreamRequest(path, same, same);
        stream.on('error', fail).on('end', () => undefined);
        stream.resume();
        stream.write(bytes);
      } else
        raw.makeUnaryRequest(path, same, same, bytes, (error) =>
          error === null ? reject(new Error('the call went well')) : fail(error),
        );
    });
  } finally {
    raw.close();
  }
}

function refusedOpen(open: Open): Promise<OptistoreError> {
  const value = { key: 'errors/x', problem: PROBLEM, ...open };
  const save = new RawSave(daemon.address).send({ case: 'open', value });
  save.end();
  return save.error();
}

describe('a message', () => {
  test.each(['GetResult', 'ListResults', 'DeleteResult', 'ListUploads', 'AbortUpload', 'GetStatus', 'LoadResult'])(
    'of %s that can not be decoded is refused',
    async (method) => {
      const error = await callWith(method, Buffer.from([0x0a, 0xff, 0xff]));
      expect(error).toMatchObject({ reason: 'REQUEST_INVALID', code: 3 });
    },
  );

  test('of SaveResult that can not be decoded is refused', async () => {
    const error = await callWith('SaveResult', Buffer.from([0x0a, 0xff, 0xff]), true);
    expect(error).toMatchObject({ reason: 'REQUEST_INVALID', code: 3 });
  });

  test('over 4 MiB is refused, also of an rpc without rows, and the limit is named', async () => {
    const bytes = Buffer.from(
      toBinary(GetResultRequestSchema, create(GetResultRequestSchema, { key: 'k'.repeat(5 * MIB) })),
    );
    const error = await callWith('GetResult', bytes);
    expect(error).toMatchObject({ reason: 'MESSAGE_TOO_LARGE', code: 8 });
    expect(error.message).toContain(String(4 * MIB));
  });

  test('far over 4 MiB is refused before it is read', async () => {
    expect(await callWith('GetResult', Buffer.alloc(40 * MIB))).toMatchObject({ code: 8 });
  });

  test.each([
    // Without an open before it, the one that fits is out of order.
    [4 * MIB, 'PROTOCOL_VIOLATION'],
    [4 * MIB + 1, 'MESSAGE_TOO_LARGE'],
  ])('of %i bytes is measured to the byte', async (byteLength, reason) => {
    const value = new Uint8Array(4 * MIB - 100);
    const message = {
      case: 'batch' as const,
      value: { columns: [{ values: { case: 'float64Values' as const, value } }] },
    };
    const bytes = toBinary(SaveResultRequestSchema, create(SaveResultRequestSchema, { message }));
    // A field that nobody knows fills it up: two bytes of tag, one of length.
    const filler = Buffer.alloc(byteLength - bytes.byteLength);
    filler.set([0xfa, 0x01, filler.byteLength - 3]);
    expect((await callWith('SaveResult', Buffer.concat([bytes, filler]), true)).reason).toBe(reason);
  });

  test('of an unknown rpc is UNIMPLEMENTED', async () => {
    expect((await callWith('NoSuchMethod', Buffer.alloc(0))).code).toBe(12);
  });

  test('whose key is not UTF-8 is refused', async () => {
    const error = await callWith('GetResult', Buffer.from([0x0a, 3, 0x61, 0xff, 0x62]));
    expect(error.code).toBe(3);
    expect(['KEY_INVALID', 'REQUEST_INVALID']).toContain(error.reason);
  });
});

describe('an open', () => {
  const variable = (more: object) => ({ problem: { variables: [{ ...FLOAT, ...more }] } });

  test.each<[string, Open, string]>([
    ['a name of 257 bytes', variable({ name: 'n'.repeat(257) }), 'PROBLEM_INVALID'],
    ['a name with a control character', variable({ name: 'a\tb' }), 'PROBLEM_INVALID'],
    ['a variable without a role', variable({ role: 0 }), 'PROBLEM_INVALID'],
    ['a role that is none', variable({ role: 99 }), 'PROBLEM_INVALID'],
    ['a type that is none', variable({ valueType: 99 }), 'PROBLEM_INVALID'],
    ['a direction where there is no objective', variable({ direction: 1 }), 'PROBLEM_INVALID'],
    ['a direction that is none', variable({ role: 2, direction: 9 }), 'PROBLEM_INVALID'],
    ['a bound that is NaN', variable({ upperBound: NaN }), 'PROBLEM_INVALID'],
    ['bounds the wrong way round', variable({ lowerBound: 2, upperBound: 1 }), 'PROBLEM_INVALID'],
    ['a negative tolerance', variable({ role: 4, tolerance: -1e-9 }), 'PROBLEM_INVALID'],
    ['a problem whose name is over 1 KiB', { problem: { name: 'n'.repeat(1025) } }, 'PROBLEM_INVALID'],
    ['a tag without a name', { tags: { '': 'x' } }, 'REQUEST_INVALID'],
    ['a tag name of 129 bytes', { tags: { ['t'.repeat(129)]: 'x' } }, 'REQUEST_INVALID'],
    ['a tag value over 1 KiB', { tags: { t: 'v'.repeat(1025) } }, 'REQUEST_INVALID'],
    ['257 tags', { tags: Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`t${i}`, ''])) }, 'REQUEST_INVALID'],
    ['a description over 64 KiB', { description: 'ä'.repeat(32_769) }, 'REQUEST_INVALID'],
    ['attributes over 64 KiB', { attributes: { a: 'x'.repeat(65_536) } }, 'REQUEST_INVALID'],
    ['an upload id of 129 bytes', { uploadId: 'u'.repeat(129) }, 'REQUEST_INVALID'],
    ['an upload id with a blank', { uploadId: 'a b' }, 'REQUEST_INVALID'],
  ])('with %s is refused', async (_, open, reason) => {
    expect(await refusedOpen(open)).toMatchObject({ reason, code: 3 });
  });

  test('with attributes that hold NaN or an infinite number is refused', async () => {
    for (const odd of [NaN, Infinity]) {
      const number = Buffer.alloc(9);
      number[0] = 0x11;
      number.writeDoubleLE(odd, 1);
      const field = (tag: number, bytes: Uint8Array) => Buffer.concat([Buffer.from([tag, bytes.byteLength]), bytes]);
      // Struct { fields: { "a": Value { number_value } } } as attributes of an open: protobuf-es does not write it.
      const struct = field(0x0a, Buffer.concat([field(0x0a, Buffer.from('a')), field(0x12, number)]));
      const base = toBinary(SaveResultRequestSchema, create(SaveResultRequestSchema, {}));
      const open = Buffer.concat([field(0x0a, Buffer.from('k')), field(0x1a, Buffer.alloc(0)), field(0x2a, struct)]);
      const error = await callWith('SaveResult', Buffer.concat([base, field(0x0a, open)]), true);
      expect(error).toMatchObject({ reason: 'REQUEST_INVALID', code: 3 });
    }
  });

  test('with the most of everything is accepted, and what it says comes back', async () => {
    const tags = Object.fromEntries(
      Array.from({ length: 256 }, (_, i) => [`t${i}`.padEnd(128, '.'), 'v'.repeat(1024)]),
    );
    const description = 'd'.repeat(65_536);
    const [key, problem] = [
      'k'.repeat(512),
      { name: 'n'.repeat(1024), variables: [{ ...FLOAT, name: 'n'.repeat(256) }] },
    ];
    const writer = await client.save(key, problem, { tags, description, uploadId: 'u'.repeat(128) });
    await writer.commit();
    expect(await client.getResult(key)).toMatchObject({ key, problem, tags, description, uploadId: 'u'.repeat(128) });
  });

  test('with 16,384 variables is accepted, and its result can be got, listed and loaded', async () => {
    const names = Array.from({ length: 16_384 }, (_, i) => `v${i}`);
    const variables = names.map((name) => ({ ...FLOAT, name }));
    const writer = await client.save('many/columns', { variables });
    await writer.append(Object.fromEntries(names.map((name, i) => [name, [i]])));
    expect((await writer.commit()).columns).toHaveLength(16_384);
    expect((await client.getResult('many/columns')).problem?.variables).toHaveLength(16_384);
    expect(await all(client.listResults({ prefix: 'many/' }))).toHaveLength(1);
    const { columns } = await client.load('many/columns', { columns: ['v16383'] }).toColumns();
    expect(columns['v16383']?.values).toEqual(Float64Array.of(16_383));
  });

  // What is accepted at the open has to come back later, in messages that every client takes.
  test('with a problem of megabytes is refused at once, or its result can be committed, got and loaded', async () => {
    const variables = Array.from({ length: 10_000 }, (_, i) => ({ ...FLOAT, name: `v${i}`.padEnd(250, '.') }));
    const save = new RawSave(daemon.address);
    save.send({ case: 'open', value: { key: 'long/names', uploadId: 'long-names', problem: { variables } } });
    const refusal = await save.answer('opened').then(
      () => undefined,
      (error: unknown) => save.explain(error),
    );
    if (refusal !== undefined) {
      expect(['PROBLEM_INVALID', 'TOO_MANY_COLUMNS', 'MESSAGE_TOO_LARGE']).toContain(refusal.reason);
      return;
    }
    save.send({ case: 'commit', value: { rowCount: 0n } });
    expect((await save.answer('committed')).result?.columns).toHaveLength(10_000);
    expect((await client.getResult('long/names')).columns).toHaveLength(10_000);
    expect((await client.load('long/names').toColumns()).header.variables).toHaveLength(10_000);
  });
});

/** Strings as they travel. */
function strings(offsets: readonly number[], utf8: Uint8Array) {
  const bytes = new Uint8Array(Uint32Array.from(offsets).buffer);
  return { values: { case: 'stringValues' as const, value: { offsets: bytes, utf8 } } };
}

describe('a batch', () => {
  const TEXTS = { variables: Array.from({ length: 20 }, (_, i) => ({ name: `s${i}`, role: 5, valueType: 4 })) };
  const BOOL = { variables: [{ name: 'b', role: 5, valueType: 3 }] };
  const X = { variables: [FLOAT] };
  const S = { variables: TEXTS.variables.slice(0, 1) };
  const float = (byteLength: number, validity = 0) => ({
    values: { case: 'float64Values' as const, value: new Uint8Array(byteLength) },
    validity: new Uint8Array(validity).fill(1),
  });
  const bool = (...value: number[]) => ({ values: { case: 'boolValues' as const, value: Uint8Array.from(value) } });

  test.each([
    ['numbers cut short', X, [float(15)], 'BATCH_MISMATCH', 3],
    ['a bitmap that is too short', X, [float(16 * 8, 1)], 'BATCH_MISMATCH', 3, 16],
    ['a bitmap that is too long', X, [float(16, 2)], 'BATCH_MISMATCH', 3],
    ['a bool that is 2', BOOL, [bool(1, 2)], 'BATCH_MISMATCH', 3],
    ['a column without values', X, [{}], 'BATCH_MISMATCH', 3],
    ['a column too many', X, [float(16), float(16)], 'BATCH_MISMATCH', 3],
    ['a first offset that is not 0', S, [strings([1, 1, 2], Buffer.from('ab'))], 'BATCH_MISMATCH', 3],
    ['a last offset before the end', S, [strings([0, 1, 1], Buffer.from('ab'))], 'BATCH_MISMATCH', 3],
    ['a last offset behind the end', S, [strings([0, 1, 3], Buffer.from('ab'))], 'BATCH_MISMATCH', 3],
    ['an offset inside of a character', S, [strings([0, 1, 2], Buffer.from('ä'))], 'BATCH_MISMATCH', 3],
    ['too few offsets', S, [strings([0, 2], Buffer.from('ab'))], 'BATCH_MISMATCH', 3],
    ['a string over 64 KiB', S, [strings([0, 65_537, 65_537], Buffer.alloc(65_537, 97))], 'BATCH_MISMATCH', 3],
    [
      'a row of strings over 1 MiB',
      TEXTS,
      Array<ReturnType<typeof strings>>(20).fill(strings([0, 65_000, 65_001], Buffer.alloc(65_001, 97))),
      'BATCH_MISMATCH',
      3,
    ],
    ['rows for a problem without variables', {}, [], 'PROBLEM_INVALID', 3],
  ])('with %s is refused', async (_, problem, columns, reason, code, rowCount = 2) => {
    const save = new RawSave(daemon.address);
    save.send({ case: 'open', value: { key: 'errors/batch', uploadId: `batch-${count++}`, problem } });
    save.send({ case: 'batch', value: { rowCount, columns } });
    save.send({ case: 'commit', value: { rowCount: BigInt(rowCount) } });
    expect(await save.error()).toMatchObject({ reason, code });
  });

  test.each([1n, 2n ** 53n, 2n ** 63n])(
    'that leaves a gap, from row %i on, is told where to go on',
    async (firstRow) => {
      const save = new RawSave(daemon.address);
      save.send({ case: 'open', value: { key: 'errors/gap', problem: PROBLEM } });
      save.send({ case: 'batch', value: { ...rowsFrom(0, 1), firstRow } });
      save.end();
      expect(await save.error()).toMatchObject({ reason: 'ROW_GAP', code: 11, metadata: { next_row: '0' } });
    },
  );

  test('that is refused takes nothing from those before it', async () => {
    const save = new RawSave(daemon.address);
    save.send({ case: 'open', value: { key: 'errors/before', uploadId: 'before', problem: PROBLEM } });
    for (const first of [0, 5, 20]) save.send({ case: 'batch', value: rowsFrom(first, 5) });
    expect(await save.error()).toMatchObject({ reason: 'ROW_GAP', metadata: { next_row: '10', upload_id: 'before' } });
    const writer = await client.save('errors/before', PROBLEM, { uploadId: 'before' });
    expect(writer.nextRow).toBe(10);
    await writer.close();
  });

  test.each([1n, 2n ** 60n])('that is missing is noticed by a commit of %i rows', async (rowCount) => {
    const save = new RawSave(daemon.address);
    save.send({ case: 'open', value: { key: 'errors/count', problem: PROBLEM } });
    save.send({ case: 'commit', value: { rowCount } });
    expect(await save.error()).toMatchObject({ reason: 'ROW_COUNT_MISMATCH', code: 9, metadata: { next_row: '0' } });
  });
});

test.each([
  ['a flush', { case: 'flush' as const, value: {} }],
  ['a commit', { case: 'commit' as const, value: { rowCount: 0n } }],
])('%s before the open is out of order', async (_, message) => {
  const save = new RawSave(daemon.address);
  expect(await save.send(message).error()).toMatchObject({ reason: 'PROTOCOL_VIOLATION', code: 9 });
});

describe('an idle stream', () => {
  let impatient: TestDaemon;

  beforeAll(async () => {
    impatient = await TestDaemon.startWith({ stream_idle_timeout: '150ms' });
  });

  afterAll(() => impatient[Symbol.asyncDispose]());

  test('ends with STREAM_IDLE and says where to go on; what it sent is durable, and its upload stays open', async () => {
    const save = new RawSave(impatient.address);
    save.send({ case: 'open', value: { key: 'idle/a', uploadId: 'idle', problem: PROBLEM } });
    save.send({ case: 'batch', value: rowsFrom(0, 7) });
    expect(await save.error()).toMatchObject({
      ...{ reason: 'STREAM_IDLE', code: 14 },
      metadata: { next_row: '7', upload_id: 'idle' },
    });
    const again = new RawSave(impatient.address);
    again.send({ case: 'open', value: { key: 'idle/a', uploadId: 'idle' } });
    expect((await again.answer('opened')).nextRow).toBe(7n);
    again.send({ case: 'commit', value: { rowCount: 7n } });
    expect((await again.answer('committed')).result?.rowCount).toBe(7n);
    await again.endAndWait();
  });

  test('that never opened an upload ends too', async () => {
    expect(await new RawSave(impatient.address).error()).toMatchObject({ reason: 'STREAM_IDLE', code: 14 });
  });

  test('is not noticed by who uses the client', async () => {
    await using patient = createClient({ address: impatient.address });
    const writer = await patient.save('idle/client', PROBLEM);
    for (let row = 0; row < 3; row++) {
      await writer.append({ x: [row], label: ['a'] });
      await writer.flush();
      // Until the daemon has let go of it, as an evaluation of hours does.
      for (;;) {
        const [upload] = await all(patient.listUploads({ prefix: 'idle/client' }));
        if (upload?.hasStream === false) break;
      }
    }
    expect((await writer.commit()).rowCount).toBe(3n);
    const { columns } = await patient.load('idle/client').toColumns();
    expect(columns['x']?.values).toEqual(Float64Array.of(0, 1, 2));
  });
});

test('a memory store that is full says so, keeps what it has, and says that acks are not durable', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'optistore-test-'));
  const file = join(folder, 'optistore.yaml');
  const settings = { primary: { type: 'memory', max_memory_mb: 2 }, listen: '127.0.0.1:0', use_cache: false };
  await writeFile(file, JSON.stringify(settings));
  await using full = await DaemonProcess.start(['--config', file], MAIN);
  await using small = createClient({ address: full.address });
  const kept = await small.save('memory/kept', PROBLEM);
  await kept.append({ x: [1, 2], label: ['a', 'b'] });
  await kept.commit();
  const save = new RawSave(full.address);
  save.send({ case: 'open', value: { key: 'memory/large', problem: PROBLEM } });
  expect((await save.answer('opened')).volatile).toBe(true);
  for (let i = 0; i < 4; i++) save.send({ case: 'batch', value: rowsFrom(i * 60_000, 60_000) });
  expect(await save.error()).toMatchObject({ reason: 'MEMORY_LIMIT', code: 8 });
  const { columns } = await small.load('memory/kept').toColumns();
  expect(columns['x']?.values).toEqual(Float64Array.of(1, 2));
  await rm(folder, { recursive: true, force: true });
});
