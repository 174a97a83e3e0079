import { once, setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { Certificate } from '../rpc/certificates.js';
import { webAddress } from '../rpc/web/web-daemon.js';
import { pathOf, PROBLEM, TestDaemon } from '../rpc/wire.js';
import { BareHttp2, framed } from './bare-http2.js';
import { campaign, IS_LONG } from './campaign.js';
import { expectNothingLeft, MEMORY_MIB_MAX, memoryMib, openFiles } from './daemon-holdings.js';

const MESSAGE_BYTES = 4 * 1024 * 1024;
/** 2,304 streams, which may fill their windows: 2.3 GiB. */
const CONNECTIONS = 9;
const STREAMS = 256;
const FLOOD_MS = IS_LONG ? 4000 : 1500;
const FIRST_PIECE_MS_MAX = 60_000;
const ROUNDS = { short: 1, long: 10 };

/**
 * What a daemon may take in MiB while peers send what never becomes whole: 192 are let in, as much may be on its way out, and
 * some KiB for each of 4,096 streams.
 */
const FLOODED_MIB_MAX = MEMORY_MIB_MAX + 192 + 64;

let certificate: Certificate;

beforeAll(async () => {
  certificate = await Certificate.make('partial-messages');
});

afterAll(() => certificate[Symbol.asyncDispose]());

/** Begins messages on as many streams as there may be, and sends piece after piece of each, for some time from the first that was sent. */
async function sendPieces(
  [address, ca]: [string, string?],
  name: string,
  pieceBytes: number,
  ms: number,
): Promise<number> {
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  const endIn = (after: number) => setTimeout(() => over.abort(), after).unref();
  // A busy machine takes seconds to make the connections.
  endIn(FIRST_PIECE_MS_MAX);
  const whenOver = once(over.signal, 'abort');
  const piece = Buffer.alloc(pieceBytes);
  let pieces = 0;
  const send = async (connection: BareHttp2) => {
    while (!over.signal.aborted && !connection.session.destroyed) {
      const stream = connection.call(pathOf({ name }));
      let wake: (isSent: boolean) => void = () => undefined;
      stream.resume().once('close', () => wake(false));
      over.signal.addEventListener('abort', () => wake(false));
      stream.write(framed(Buffer.alloc(0), 0, MESSAGE_BYTES));
      // One piece less than there are: the message is never whole.
      for (let left = MESSAGE_BYTES - pieceBytes; left > pieceBytes && !over.signal.aborted; left -= pieceBytes) {
        const isSent = await new Promise<boolean>((resolve) => {
          wake = resolve;
          stream.write(piece, (error) => resolve(!error));
        });
        if (!isSent) break;
        if (pieces++ === 0) endIn(ms);
        await sleep(0);
      }
      if (!stream.destroyed && !stream.closed) await whenOver;
      await sleep(5);
    }
  };
  const connections = Array.from({ length: CONNECTIONS }, () => new BareHttp2(address, {}, ca));
  try {
    await Promise.all(connections.flatMap((connection) => Array.from({ length: STREAMS }, () => send(connection))));
  } finally {
    for (const connection of connections) connection[Symbol.dispose]();
  }
  return pieces;
}

/** A flood at one of a daemon's ports while a good client works; gives how many pieces were sent. */
async function besiege(
  daemon: TestDaemon,
  client: OptistoreClient,
  target: [string, string?],
  name: string,
  pieceBytes: number,
): Promise<number> {
  let isOver = false;
  const flood = sendPieces(target, name, pieceBytes, FLOOD_MS).finally(() => (isOver = true));
  for (let served = 0; !isOver || served === 0; served++) {
    const writer = await client.save(`good/${served}`, PROBLEM);
    await writer.append({ x: [1, 2], label: ['a', 'b'] });
    await writer.commit();
    expect((await client.load(`good/${served}`).toColumns()).columns['x']?.values).toEqual(Float64Array.of(1, 2));
  }
  const pieces = await flood;
  expect(pieces).toBeGreaterThan(0);
  expect(memoryMib(daemon.process.pid, 'VmHWM')).toBeLessThan(FLOODED_MIB_MAX);
  return pieces;
}

const FLOODS: [string, number][] = [
  ['SaveResult', 65_536],
  ['GetStatus', 65_536],
  ['SaveResult', 1],
];

describe('messages that never become whole cost no more memory than is said, and others are served:', () => {
  test.each(FLOODS)('at the gRPC port, of %s, in pieces of %i bytes', async (name, pieceBytes) => {
    await using daemon = await TestDaemon.startWith({});
    await using client = createClient({ address: daemon.address });
    await client.getStatus();
    const before = await openFiles(daemon.process.pid);
    await campaign(`partial messages, gRPC port, ${name}, ${pieceBytes}`, ROUNDS, async () => {
      const pieces = await besiege(daemon, client, [daemon.address], name, pieceBytes);
      await expectNothingLeft(daemon, before, {}, FLOODED_MIB_MAX);
      return pieces;
    });
  });

  // Node hangs now and then in a connection with TLS whose streams are reset: what it has is let go of with it, when it was silent.
  test.each(FLOODS)('at the web port, of %s, in pieces of %i bytes', async (name, pieceBytes) => {
    const { cert, key } = certificate.files;
    await using daemon = await TestDaemon.startWith({ web: '127.0.0.1:0', tls_cert: cert, tls_key: key });
    await using client = createClient({ address: daemon.address, tls: { ca: cert } });
    const target: [string, string] = [webAddress(daemon), certificate.cert];
    await campaign(`partial messages, web port, ${name}, ${pieceBytes}`, ROUNDS, () =>
      besiege(daemon, client, target, name, pieceBytes),
    );
  });
});
