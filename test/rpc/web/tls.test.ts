import { pathToFileURL } from 'node:url';
import { once } from 'node:events';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Code, createClient, type Client, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { pino } from 'pino';
import { afterAll, describe, expect, test } from 'vitest';
import { StorageService } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { createStorageManager } from '../../../server/index.js';
import { Certificates } from '../../../server/rpc/doors/certificates.js';
import { openWebDoor, type WebDoorOptions } from '../../../server/rpc/doors/web.js';
import type { CallContext, StorageServiceHandlers } from '../../../server/rpc/service.js';
import { createStorageService } from '../../../server/rpc/storage-service.js';
import { PROBLEM, rowsFrom } from '../wire.js';
import { Certificate } from '../certificates.js';
import { until } from '../../cli/cli.js';
import { failureOf, infoOf } from './web-daemon.js';

const manager = await createStorageManager({ primary: { type: 'memory', max_memory_mb: 64 } });
afterAll(() => manager[Symbol.asyncDispose]());
const service = createStorageService(manager, { version: 'test', startTime: new Date(), streamIdleTimeoutMs: 60_000 });
/** What the calls of GetStatus were made with. */
const contexts: CallContext[] = [];
const handlers: StorageServiceHandlers = {
  ...service,
  getStatus: (request, context) => {
    contexts.push(context);
    return service.getStatus(request, context);
  },
};
const [first, second] = [await Certificate.make('first'), await Certificate.make('second')];
afterAll(async () => {
  for (const certificate of [first, second]) await certificate[Symbol.asyncDispose]();
});
const certificates = new Certificates({ ...first.files, clientCa: undefined });
const log = pino({ level: 'silent' });

function open(more: Partial<WebDoorOptions> = {}) {
  const pageFolder = pathToFileURL('dist/web/');
  const fixed = { handlers, listen: '127.0.0.1:0', hosts: [], grpcAddress: '127.0.0.1:1', pageFolder, log };
  return openWebDoor({ ...fixed, streamIdleTimeoutMs: 60_000, certificates, ...more });
}

const door = await open();
afterAll(() => door.drain());
const baseUrl = `https://${door.address}`;
const nodeOptions = { ca: [first.cert, second.cert] };

/** Clients that speak HTTP/2, of each protocol. */
const TRANSPORTS: Record<string, Transport> = {
  Connect: createConnectTransport({ baseUrl, httpVersion: '2', nodeOptions }),
  'gRPC-Web': createGrpcWebTransport({ baseUrl, httpVersion: '2', nodeOptions }),
  gRPC: createGrpcTransport({ baseUrl, nodeOptions }),
};
const clientOf = (name: string): Client<typeof StorageService> =>
  createClient(StorageService, TRANSPORTS[name] as Transport);

/** The name of the certificate that a new connection is shown. */
async function shown(address: string, protocol: string): Promise<[name: string, protocol: string | false | null]> {
  const [host, port] = address.split(':');
  const socket: TLSSocket = connectTls({ host, port: Number(port), ALPNProtocols: [protocol], ...nodeOptions });
  await once(socket, 'secureConnect');
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return [String(subject.CN), socket.alpnProtocol];
}

async function session(more: object = {}): Promise<ClientHttp2Session> {
  const made = connectHttp2(baseUrl, { ...nodeOptions, ...more });
  await once(made, 'remoteSettings');
  return made;
}

/** A save of so many rows, in two batches. */
async function* saveOf(key: string, rowCount: number) {
  yield { message: { case: 'open' as const, value: { key, problem: PROBLEM } } };
  yield { message: { case: 'batch' as const, value: rowsFrom(0, 1) } };
  yield { message: { case: 'batch' as const, value: rowsFrom(1, rowCount - 1) } };
  yield { message: { case: 'commit' as const, value: { rowCount: BigInt(rowCount) } } };
}

describe.each(Object.keys(TRANSPORTS))('over HTTP/2 by %s', (protocol) => {
  const client = clientOf(protocol);
  const key = `tls/${protocol}`;

  test('rows are saved and loaded', async () => {
    const cases: (string | undefined)[] = [];
    for await (const { message } of client.saveResult(saveOf(key, 1000))) cases.push(message.case);
    expect([cases[0], cases.at(-1)]).toEqual(['opened', 'committed']);
    let rowCount = 0;
    for await (const { message } of client.loadResult({ key }))
      if (message.case === 'batch') rowCount += message.value.rowCount;
    expect(rowCount).toBe(1000);
  });

  test('what fails has its code and its ErrorInfo, in the middle of a save as well', async () => {
    expect(infoOf(await failureOf(client.getResult({ key: 'tls/none' })))?.reason).toBe('RESULT_NOT_FOUND');
    const gap = async function* () {
      yield { message: { case: 'open' as const, value: { key, problem: PROBLEM } } };
      yield { message: { case: 'batch' as const, value: rowsFrom(7, 1) } };
      // It never says that it is done.
      await new Promise(() => undefined);
    };
    const error = await failureOf(client.saveResult(gap()));
    expect([error.code, infoOf(error)?.reason]).toEqual([Code.OutOfRange, 'ROW_GAP']);
    expect(infoOf(error)?.metadata).toMatchObject({ next_row: '0' });
  });

  test('a message over 4 MiB of a save is MESSAGE_TOO_LARGE', async () => {
    const large = async function* () {
      yield { message: { case: 'open' as const, value: { key, problem: PROBLEM, description: 'd'.repeat(5 << 20) } } };
    };
    expect(infoOf(await failureOf(client.saveResult(large())))?.reason).toBe('MESSAGE_TOO_LARGE');
  });

  test('who goes in the middle of a save or a watch leaves no stream behind', async () => {
    const gone = new AbortController();
    const open = async function* () {
      yield { message: { case: 'open' as const, value: { key, problem: PROBLEM } } };
      await new Promise(() => undefined);
    };
    const streams = [client.saveResult(open(), gone), client.watchResults({}, gone)];
    const failures = streams.map((stream) => failureOf(stream as AsyncIterable<unknown>));
    const streamCount = async () => Number((await client.getStatus({})).streamCount);
    await until(async () => (await streamCount()) === 2);
    gone.abort();
    expect((await Promise.all(failures)).map(({ code }) => code)).toEqual([Code.Canceled, Code.Canceled]);
    await until(async () => (await streamCount()) === 0);
  });

  test('the authorization of a call reaches the service', async () => {
    await client.getStatus({}, { headers: { Authorization: 'Bearer of-a-test' } });
    expect(contexts.at(-1)?.authorization).toBe('Bearer of-a-test');
    await client.getStatus({});
    expect(contexts.at(-1)?.authorization).toBeUndefined();
  });
});

test('HTTP/1.1 is served beside it, by ALPN, with the same rules', async () => {
  expect(await shown(door.address, 'h2')).toEqual(['first', 'h2']);
  expect(await shown(door.address, 'http/1.1')).toEqual(['first', 'http/1.1']);
  const statusOf = async (headers: Record<string, string>) => {
    const request = httpsRequest(`${baseUrl}/healthz`, { ...nodeOptions, servername: 'localhost', headers });
    const answered = once(request, 'response') as Promise<[IncomingMessage]>;
    request.end();
    const [response] = await answered;
    response.resume();
    expect(response.headers['x-content-type-options']).toBe('nosniff');
    return response.statusCode;
  };
  expect(await statusOf({})).toBe(200);
  expect(await statusOf({ Origin: baseUrl })).toBe(200);
  expect(await statusOf({ Origin: 'https://evil.example' })).toBe(403);
  expect(await statusOf({ Host: 'evil.example' })).toBe(403);
});

test('over HTTP/2 a request for another name, or from another site, is refused as well', async () => {
  const made = await session();
  const statusOf = async (headers: Record<string, string>) => {
    const stream = made.request({ ':path': '/healthz', ...headers });
    const [answer] = (await once(stream, 'response')) as [Record<string, unknown>];
    stream.resume();
    expect(answer['x-content-type-options']).toBe('nosniff');
    return answer[':status'];
  };
  expect(await statusOf({})).toBe(200);
  expect(await statusOf({ ':authority': 'evil.example' })).toBe(403);
  expect(await statusOf({ origin: 'https://evil.example' })).toBe(403);
  expect(await statusOf({ ':method': 'OPTIONS', ':path': '/optistore.v1.StorageService/GetStatus' })).toBe(405);
  made.destroy();
});

test('the HTTP/2 windows are raised, and streams are limited, as at the gRPC port', async () => {
  const made = await session();
  expect(made.remoteSettings).toMatchObject({
    initialWindowSize: 512 << 10,
    maxFrameSize: 256 << 10,
    maxConcurrentStreams: 256,
  });
  await until(() => (made.state.remoteWindowSize ?? 0) >= 4 << 20);
  made.destroy();
});

test('another certificate is taken without dropping a stream', async () => {
  await using third = await Certificate.make('third');
  await third.replaceBy(first);
  const renewed = new Certificates({ ...third.files, clientCa: undefined });
  const own = await open({ certificates: renewed });
  const options = { baseUrl: `https://${own.address}`, httpVersion: '2' as const, nodeOptions };
  const watched = createClient(StorageService, createConnectTransport(options)).watchResults({ prefix: 'renewed/' });
  const events = watched[Symbol.asyncIterator]();
  await events.next();
  await third.replaceBy(second);
  renewed.reload();
  expect(await shown(own.address, 'h2')).toEqual(['second', 'h2']);
  expect(await shown(own.address, 'http/1.1')).toEqual(['second', 'http/1.1']);
  for await (const answer of clientOf('gRPC').saveResult(saveOf('renewed/a', 2))) void answer;
  expect((await events.next()).value).toMatchObject({ event: { case: 'committed' } });
  // And it is told when the door closes.
  const failure = failureOf({ [Symbol.asyncIterator]: () => events });
  await own.drain();
  expect(infoOf(await failure)?.reason).toBe('SHUTTING_DOWN');
});

test('where clients have to show a certificate, one without is not let in, over neither HTTP', async () => {
  const own = await open({ certificates: new Certificates({ ...first.files, clientCa: second.files.cert }) });
  const [host, port] = own.address.split(':');
  const isServed = async (protocol: string, certificate: object) => {
    const more = { ALPNProtocols: [protocol], ...nodeOptions, ...certificate };
    const socket = connectTls({ host, port: Number(port), ...more }).on('error', () => undefined);
    // HTTP/2 begins with settings from the server; HTTP/1.1 is asked.
    socket.write(protocol === 'h2' ? '' : `GET /healthz HTTP/1.1\r\nHost: ${own.address}\r\n\r\n`);
    const served = await Promise.race([
      once(socket, 'data').then(
        () => true,
        () => false,
      ),
      once(socket, 'close').then(
        () => false,
        () => false,
      ),
    ]);
    socket.destroy();
    return served;
  };
  for (const protocol of ['h2', 'http/1.1']) {
    expect(await isServed(protocol, {})).toBe(false);
    expect(await isServed(protocol, { cert: first.cert, key: first.key })).toBe(false);
    expect(await isServed(protocol, { cert: second.cert, key: second.key })).toBe(true);
  }
  await own.drain();
});
