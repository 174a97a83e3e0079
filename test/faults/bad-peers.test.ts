import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StorageService } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { TestDaemon } from '../rpc/wire.js';
import { answerOf, BareHttp2, framed, type BareAnswer } from './bare-http2.js';
import { Besieged } from './besieged.js';
import { campaign } from './campaign.js';
import { memoryMib, MEMORY_MIB_MAX, openFiles } from './daemon-holdings.js';
import { pathOf } from '../rpc/wire.js';
import { PREFACE, rawConnection } from './http2-frames.js';

const MIB = 1024 * 1024;
/** gRPC statuses. */
const STATUS = { INVALID_ARGUMENT: 3, RESOURCE_EXHAUSTED: 8, UNIMPLEMENTED: 12, INTERNAL: 13 } as const;

let besieged: Besieged;
let daemon: TestDaemon;
const withstands = (act: () => Promise<void>) => besieged.withstands(act);

beforeAll(async () => {
  besieged = await Besieged.start();
  daemon = besieged.daemon;
});

afterAll(() => besieged[Symbol.asyncDispose]());

/** Calls an rpc with bytes that are no message of a gRPC library. */
async function answerTo(rpc: string, bytes: Buffer, headers: Record<string, string> = {}): Promise<BareAnswer> {
  using connection = new BareHttp2(daemon.address);
  const stream = connection.call(rpc.startsWith('/') ? rpc : pathOf({ name: rpc }), headers);
  stream.end(bytes);
  return await answerOf(stream);
}

describe('a message', () => {
  test.each([
    ['compressed, of an encoding that is not said', 1, {}, STATUS.INVALID_ARGUMENT],
    ['compressed, of an unknown encoding', 1, { 'grpc-encoding': 'zstd' }, STATUS.UNIMPLEMENTED],
    ['compressed with gzip, which it is not', 1, { 'grpc-encoding': 'gzip' }, STATUS.INTERNAL],
  ])('that is %s is refused', (_, flag, headers, status) =>
    withstands(async () => {
      expect((await answerTo('GetStatus', framed(Buffer.from('nonsense'), flag, 8), headers)).grpcStatus).toBe(status);
    }),
  );

  test('that ends before its length, and none at all, is refused', () =>
    withstands(async () => {
      for (const bytes of [framed(Buffer.from('ab'), 0, 1000), Buffer.from([0, 0]), Buffer.alloc(0)])
        expect((await answerTo('GetResult', bytes)).grpcStatus).toBe(STATUS.UNIMPLEMENTED);
      expect((await answerTo('SaveResult', framed(Buffer.from('ab'), 0, 1000))).grpcStatus).toBe(0);
    }));

  test('of another size than is possible is refused before it is read', () =>
    withstands(async () => {
      for (const byteLength of [17 * MIB, 0x7fffffff, 0xffffffff])
        for (const rpc of ['GetResult', 'SaveResult', 'LoadResult'])
          expect((await answerTo(rpc, framed(Buffer.alloc(10), 0, byteLength))).grpcStatus).toBe(
            STATUS.RESOURCE_EXHAUSTED,
          );
    }));

  test('of gzip that grows to gigabytes is refused, and not unpacked', () =>
    withstands(async () => {
      const bomb = gzipOf(4096);
      const answers = await Promise.all(
        ['GetResult', 'SaveResult', 'LoadResult', 'ListResults'].map((rpc) =>
          answerTo(rpc, framed(bomb, 1), { 'grpc-encoding': 'gzip' }),
        ),
      );
      expect(answers.map(({ grpcStatus }) => grpcStatus)).toEqual(answers.map(() => STATUS.RESOURCE_EXHAUSTED));
    }));

  test('that is compressed and sound is taken', async () => {
    expect((await answerTo('GetStatus', framed(gzipSync(''), 1), { 'grpc-encoding': 'gzip' })).grpcStatus).toBe(0);
  });

  test('of any bytes, to any rpc, is answered, and never with a defect', () =>
    withstands(() =>
      campaign('bad peers: any bytes to any rpc', { short: 1, long: 20 }, async (roll) => {
        const runs = 300;
        using connection = new BareHttp2(daemon.address);
        // What would change or end nothing else here may be called with a message that happens to be sound.
        const rpcs = StorageService.methods.map(({ name }) => name).filter((name) => name !== 'WatchResults');
        const bytes = fc.oneof(fc.uint8Array({ maxLength: 64 }), almostMessages());
        await fc.assert(
          fc.asyncProperty(
            fc.constantFrom(...rpcs),
            fc.array(bytes, { minLength: 1, maxLength: 3 }),
            async (rpc, all) => {
              const stream = connection.call(pathOf({ name: rpc }));
              const isStream = rpc === 'SaveResult';
              stream.end(Buffer.concat((isStream ? all : all.slice(0, 1)).map((message) => framed(message))));
              const { grpcStatus, message } = await answerOf(stream);
              expect([0, 3, 5, 7, 8, 9, 10, 11], `${rpc}: ${message}`).toContain(grpcStatus);
            },
          ),
          { numRuns: runs, seed: Math.floor(roll() * 2 ** 31) },
        );
        return runs;
      }),
    ));
});

/** Fields with any number and wire type: what a protobuf parser reads further in than noise. */
function almostMessages() {
  const field = fc
    .tuple(fc.integer({ min: 1, max: 20 }), fc.constantFrom(0, 1, 2, 5), fc.uint8Array({ maxLength: 40 }))
    .map(([number, type, value]) => {
      const tag = number < 16 ? [(number << 3) | type] : [(((number << 3) | type) & 127) | 128, number >> 4];
      if (type === 2) return Buffer.concat([Buffer.from(tag), Buffer.of(value.byteLength), value]);
      const width = type === 0 ? 1 : type === 1 ? 8 : 4;
      return Buffer.concat([Buffer.from(tag), Buffer.alloc(width, (value[0] ?? 0) & 127)]);
    });
  return fc.array(field, { maxLength: 5 }).map((fields) => new Uint8Array(Buffer.concat(fields)));
}

/** So many MiB of zeros: gzip allows one piece behind the other. */
function gzipOf(mib: number): Buffer {
  const piece = gzipSync(Buffer.alloc(64 * MIB), { level: 9 });
  return Buffer.concat(Array.from({ length: mib / 64 }, () => piece));
}

describe('a call', () => {
  test('of another content type is no gRPC', () =>
    withstands(async () => {
      for (const type of ['application/json', 'text/html', '', 'application/grp'])
        expect(await answerTo('GetStatus', framed(Buffer.alloc(0)), { 'content-type': type })).toMatchObject({
          status: 415,
        });
    }));

  test('of a path that is none of ours is UNIMPLEMENTED', () =>
    withstands(async () => {
      for (const path of ['/', '/optistore.v1.StorageService/', '/x/y', '/../etc/passwd', `/${'a'.repeat(5000)}`])
        expect(await answerTo(path, framed(Buffer.alloc(0)))).toMatchObject({ grpcStatus: STATUS.UNIMPLEMENTED });
    }));

  test('with headers beyond all bounds is refused', () =>
    withstands(async () => {
      const large = await answerTo('GetStatus', framed(Buffer.alloc(0)), { 'x-large': 'a'.repeat(200_000) });
      expect(large.grpcStatus).toBeUndefined();
      const many = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`x-${i}`, 'v']));
      expect((await answerTo('GetStatus', framed(Buffer.alloc(0)), many)).grpcStatus).toBeUndefined();
    }));
});

describe('a flood', () => {
  test('of thousands of connections leaves room for those that are there', () =>
    withstands(async () => {
      const sockets: Socket[] = [];
      for (let i = 0; i < 25; i++)
        sockets.push(...(await Promise.all(Array.from({ length: 100 }, () => rawConnection(daemon)))));
      for (const socket of sockets) socket.write(PREFACE);
      const { sockets: count } = await openFiles(daemon.process.pid);
      expect(count).toBeLessThan(2048 + 100);
      expect(memoryMib(daemon.process.pid)).toBeLessThan(MEMORY_MIB_MAX);
      for (const socket of sockets) socket.destroy();
    }));
});
