import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { LoadResultRequestSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { GrpcCode } from '../../server/errors.js';
import { Certificates } from '../../server/rpc/doors/certificates.js';
import { answerOf, BareHttp2, framedMessage, pathOf } from '../faults/bare-http2.js';
import { closeOf, PREFACE, rawConnection, SETTINGS } from '../faults/http2-frames.js';
import { openOwnDoor, type OwnDoor } from '../faults/own-door.js';
import { Certificate } from './certificates.js';
import { floatRun, floats } from './sample-runs.js';
import { saveRun } from './raw-load.js';
import { rawSocket } from './web/web-daemon.js';

const SHORT_MS = 250;

let certificate: Certificate;
let certificates: Certificates;

beforeAll(async () => {
  certificate = await Certificate.make('door-limits');
  certificates = new Certificates({ ...certificate.files, clientCa: undefined });
});

afterAll(() => certificate[Symbol.asyncDispose]());

/** Where HTTP/2 is spoken: each port, its address, and the authority of its certificate. */
const PORTS: [string, (door: OwnDoor) => [address: string, ca?: string]][] = [
  ['gRPC', ({ address }) => [address]],
  ['web', ({ web }) => [web, certificate.cert]],
];

function connectionTo(addressOf: (door: OwnDoor) => [string, string?], door: OwnDoor): BareHttp2 {
  const [address, ca] = addressOf(door);
  return new BareHttp2(address, {}, ca);
}

async function untilNoStream(client: OptistoreClient): Promise<void> {
  while ((await client.getStatus()).streamCount > 0n) await sleep(20);
}

describe.each(PORTS)('at the %s port, over HTTP/2,', (_, addressOf) => {
  test('a request that is not whole in time is ended, and its connection serves others', async () => {
    await using door = await openOwnDoor({ requestMsMax: SHORT_MS, certificates });
    using connection = connectionTo(addressOf, door);
    const late = connection.call(pathOf('GetStatus'));
    late.write(Buffer.of(0, 0, 0));
    const answer = await answerOf(late);
    expect(answer.grpcStatus).toBe(GrpcCode.UNAVAILABLE);
    expect(answer.message).toMatch(/not whole after 0\.25 s.+again/);
    const next = connection.call(pathOf('GetStatus'));
    next.end(Buffer.alloc(5));
    expect((await answerOf(next)).grpcStatus).toBe(0);
  });

  test('a connection without a call is told to go, and closed', async () => {
    await using door = await openOwnDoor({ connectionIdleMs: SHORT_MS, certificates });
    using connection = connectionTo(addressOf, door);
    await once(connection.session, 'close');
  });

  test('a peer that is silent, and answers no ping, is let go of', async () => {
    await using door = await openOwnDoor({ connectionSilenceMs: SHORT_MS, certificates });
    const [address, ca] = addressOf(door);
    const socket = await rawConnection({ address, ca });
    socket.write(Buffer.concat([PREFACE, SETTINGS]));
    await closeOf(socket);
  });

  test('an answer of which nothing is read ends, and so does its stream', async () => {
    await using door = await openOwnDoor({ streamIdleTimeoutMs: SHORT_MS, certificates });
    await using client = createClient({ address: door.address });
    await saveRun(door.address, 'large', floats(8), floatRun(8, 100_000), 10_000);
    using connection = connectionTo(addressOf, door);
    const stream = connection.call(pathOf('LoadResult'));
    stream.end(framedMessage(LoadResultRequestSchema, { key: 'large' }));
    await once(stream, 'response');
    // What is not read of it stays in memory for as long again at most: then it is reset.
    await untilNoStream(client);
    await sleep(2 * SHORT_MS);
    expect((await answerOf(stream)).grpcStatus).not.toBe(0);
  });
});

describe('at the web port, over HTTP/1.1,', () => {
  const head = (address: string, byteLength: number) =>
    `POST ${pathOf('GetStatus')} HTTP/1.1\r\nHost: ${address}\r\nContent-Type: application/json\r\nContent-Length: ${byteLength}\r\n\r\n`;

  test('a request that is not whole in time closes its connection', async () => {
    await using door = await openOwnDoor({ requestMsMax: SHORT_MS });
    const socket = await rawSocket(door.web);
    socket.resume().write(`${head(door.web, 10)}{`);
    await closeOf(socket);
  });

  test('a connection without a request is closed', async () => {
    await using door = await openOwnDoor({ connectionIdleMs: SHORT_MS });
    const socket = await rawSocket(door.web);
    socket.write(`${head(door.web, 2)}{}`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toContain('200 OK');
    await closeOf(socket.resume());
  });

  test('an answer of which nothing is read ends with its connection', async () => {
    await using door = await openOwnDoor({ streamIdleTimeoutMs: SHORT_MS });
    await using client = createClient({ address: door.address });
    await saveRun(door.address, 'large', floats(8), floatRun(8, 1_000_000), 20_000);
    const socket = await rawSocket(door.web);
    const message = framedMessage(LoadResultRequestSchema, { key: 'large' });
    const text = `POST ${pathOf('LoadResult')} HTTP/1.1\r\nHost: ${door.web}\r\nContent-Type: application/connect+proto\r\nContent-Length: ${message.byteLength}\r\n\r\n`;
    socket.pause().write(Buffer.concat([Buffer.from(text), message]));
    while ((await client.getStatus()).streamCount === 0n) await sleep(5);
    await untilNoStream(client);
    await closeOf(socket.resume());
  });
});
