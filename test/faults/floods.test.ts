import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Certificate } from '../rpc/certificates.js';
import { webAddress } from '../rpc/web/web-daemon.js';
import { answerOf, BareHttp2, framed } from './bare-http2.js';
import { Besieged } from './besieged.js';
import { campaign, IS_LONG } from './campaign.js';
import { pathOf } from '../rpc/wire.js';
import {
  callHeaders,
  closeOf,
  END_HEADERS,
  flood,
  FRAME,
  frame,
  hpack,
  many,
  PREFACE,
  rawConnection,
  SETTINGS,
  type Target,
} from './http2-frames.js';

/** For how long a daemon on a busy machine may be behind with reading what it then cuts off. */
const PATIENCE = { waitMs: 30_000 };

let certificate: Certificate;
let besieged: Besieged;

beforeAll(async () => {
  certificate = await Certificate.make('floods');
  const { cert, key } = certificate.files;
  besieged = await Besieged.start({ web: '127.0.0.1:0', tls_cert: cert, tls_key: key }, { tls: { ca: cert } });
});

afterAll(async () => {
  await besieged[Symbol.asyncDispose]();
  await certificate[Symbol.asyncDispose]();
});

const PORTS: [string, (of: Besieged) => string][] = [
  ['gRPC', ({ daemon }) => daemon.address],
  ['web', ({ daemon }) => webAddress(daemon)],
];

/** What is sent to one of the ports. */
function floodsOf(addressOf: (of: Besieged) => string) {
  const target = (): Target => ({ address: addressOf(besieged), ca: certificate.cert });
  let headers: Buffer | undefined;
  const call = (stream: number) =>
    frame(FRAME.headers, END_HEADERS, stream, (headers ??= callHeaders('SaveResult', addressOf(besieged))));
  /** So many calls, behind as many for each time before; behind each of them what `then` gives. */
  const calls = (time: number, count: number, then: (stream: number) => Buffer = () => Buffer.alloc(0)) =>
    Buffer.concat(
      Array.from({ length: count }, (_, i) => {
        const stream = (time * count + i) * 2 + 1;
        return Buffer.concat([call(stream), then(stream)]);
      }),
    );
  return { target, call, calls };
}

describe.each(PORTS)('at the %s port a flood', (name, addressOf) => {
  const { target, call, calls } = floodsOf(addressOf);

  test.each([
    // CVE-2023-44487
    ['calls that are reset at once', (stream: number) => frame(FRAME.reset, 0, stream, Buffer.of(0, 0, 0, 8))],
    // CVE-2025-8671: a window that grows by nothing.
    [
      'calls that make the daemon reset them',
      (stream: number) => frame(FRAME.windowUpdate, 0, stream, Buffer.alloc(4)),
    ],
  ])('of %s is cut off, long before its end', (_, then) =>
    besieged.withstands(() =>
      campaign(`floods: rapid resets, ${name} port`, { short: 1, long: 10 }, async () => {
        const { isCut, times } = await flood(target(), (time) => calls(time, 100, then), 1000, PATIENCE);
        expect(isCut).toBe(true);
        expect(times).toBeLessThan(1000);
        return times * 100;
      }),
    ),
  );

  test.each([
    ['SETTINGS', SETTINGS],
    ['PING', frame(FRAME.ping, 0, 0, Buffer.alloc(8))],
    ['empty DATA', frame(FRAME.data, 0, 1)],
  ])('of %s frames is cut off', (_, bytes) =>
    besieged.withstands(async () => {
      const first = Buffer.concat([SETTINGS, call(1)]);
      expect(await flood(target(), () => many(bytes, 1000), 1000, { ...PATIENCE, first })).toMatchObject({
        isCut: true,
      });
    }),
  );

  test('of thousands of streams on a connection is served as far as it may go', () =>
    besieged.withstands(async () => {
      const { address, ca } = target();
      using connection = new BareHttp2(address, {}, ca);
      await once(connection.session, 'remoteSettings');
      expect(connection.session.remoteSettings.maxConcurrentStreams).toBe(256);
      const answers = await Promise.all(
        Array.from({ length: 600 }, async () => {
          const stream = connection.call(pathOf({ name: 'GetStatus' }));
          stream.end(framed(Buffer.alloc(0)));
          return (await answerOf(stream)).grpcStatus;
        }),
      );
      expect(new Set(answers)).toEqual(new Set([0]));
      // By bytes alone, without regard for what the daemon grants.
      expect(await flood(target(), (time) => calls(time, 100), 1000, PATIENCE)).toMatchObject({ isCut: true });
    }));
});

// Node does not tell that it reads no more, after a GOAWAY: the silence that follows ends the connection.
describe.each(PORTS)('at the %s port, last of all, a flood', (name, addressOf) => {
  const { target } = floodsOf(addressOf);

  test('of CONTINUATION frames, or of bytes that are no HTTP/2, costs nothing but a connection that lingers', () =>
    besieged.withstands(
      async () => {
        const first = Buffer.concat([SETTINGS, frame(FRAME.headers, 0, 1, callHeaders('SaveResult', 'x'))]);
        const piece = frame(FRAME.continuation, 0, 1, hpack([['x-y', 'z'.repeat(1000)]]));
        await flood(target(), () => many(piece, 10), 10_000, { first });
        await campaign(`floods: noise, ${name} port`, { short: 20, long: 500 }, async (roll) => {
          const noise = Buffer.from(Array.from({ length: 1 + Math.floor(roll() * 2000) }, () => roll() * 256));
          const socket = await rawConnection(target());
          // Half of it comes behind a sound beginning.
          socket.end(roll() < 0.5 ? Buffer.concat([PREFACE, SETTINGS, noise]) : noise);
          await Promise.race([closeOf(socket), sleep(50)]);
          socket.destroy();
          return 1;
        });
      },
      { lingering: true },
    ));
});

// More than a minute, in which nothing happens.
if (IS_LONG)
  test('of none of them a connection is left when it was silent for a while', () =>
    campaign('floods: connections left', { short: 1, long: 1 }, () => besieged.untilNoneLingers()));
