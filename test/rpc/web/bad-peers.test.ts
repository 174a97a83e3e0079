import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { afterAll, describe, expect, test } from 'vitest';
import {
  LoadResultRequestSchema,
  StorageService,
  WatchResultsRequestSchema,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { createClient } from '../../../clients/typescript/index.js';
import { saveRun } from '../raw-load.js';
import { floatRun, floats } from '../sample-runs.js';
import { residentBytes, untilStill } from '../processes.js';
import { pathOf, TestDaemon } from '../wire.js';
import { until } from '../../cli/cli.js';
import { ask, failureOf, infoOf, post, rawSocket, streamRequest, webAddress, webClients } from './web-daemon.js';

const MIB = 1024 * 1024;
const { getStatus, getResult, loadResult, watchResults, saveResult } = StorageService.method;

// Without a cache, which would hold what is loaded.
const daemon = await TestDaemon.startWith({ web: '127.0.0.1:0', use_cache: false });
afterAll(() => daemon[Symbol.asyncDispose]());
const web = webAddress(daemon);
const client = createClient({ address: daemon.address });
afterAll(() => client.close());

/** 128 MiB of rows. */
const [COLUMNS, ROWS] = [64, 256 * 1024];
await saveRun(daemon.address, 'big', floats(COLUMNS), floatRun(COLUMNS, ROWS), 2048);
const LOAD = streamRequest(
  web,
  loadResult,
  toBinary(LoadResultRequestSchema, create(LoadResultRequestSchema, { key: 'big' })),
);
const WATCH = streamRequest(web, watchResults, toBinary(WatchResultsRequestSchema, create(WatchResultsRequestSchema)));

async function streamCount(): Promise<number> {
  return Number((await client.getStatus()).streamCount);
}

function resident(): number {
  return residentBytes(daemon.process.pid);
}

/** No line of the log tells of a defect. */
function defects(): string[] {
  return daemon.process.log.filter((line) => line.includes('a defect') || !line.startsWith('{'));
}

describe('who goes without a word', () => {
  test('while the daemon waits for room leaves no stream behind', async () => {
    const sockets = await Promise.all(Array.from({ length: 8 }, () => rawSocket(web)));
    for (const socket of sockets) socket.pause().write(LOAD);
    await until(async () => (await streamCount()) === sockets.length);
    // Time enough to fill what the system holds of each, and to wait for room behind it.
    await sleep(300);
    expect(await streamCount()).toBe(sockets.length);
    for (const socket of sockets) socket.resetAndDestroy();
    await until(async () => (await streamCount()) === 0);
    expect(defects()).toEqual([]);
  });

  test('while nothing happens leaves no stream behind', async () => {
    const sockets = await Promise.all(Array.from({ length: 8 }, () => rawSocket(web)));
    for (const socket of sockets) socket.write(WATCH);
    await until(async () => (await streamCount()) === sockets.length);
    for (const [i, socket] of sockets.entries())
      if (i % 2 === 0) socket.destroy();
      else socket.end();
    await until(async () => (await streamCount()) === 0);
    expect(defects()).toEqual([]);
  });

  test('in the middle of a request leaves nothing behind', async () => {
    for (let cut = 1; cut < LOAD.byteLength; cut += 7) {
      const socket = await rawSocket(web);
      socket.write(LOAD.subarray(0, cut));
      await sleep(1);
      socket.destroy();
    }
    await until(async () => (await streamCount()) === 0);
    expect((await ask(web, '/healthz')).status).toBe(200);
    expect(defects()).toEqual([]);
  });
});

test('who does not read is not read for: the daemon waits, with little in memory, and all comes when it is asked for', async () => {
  const before = resident();
  const sockets = await Promise.all(Array.from({ length: 4 }, () => rawSocket(web)));
  for (const socket of sockets) socket.pause().write(LOAD);
  await until(async () => (await streamCount()) === sockets.length);
  // Until it does nothing any more, or has too much; 512 MiB were asked for.
  let most = before;
  await untilStill(daemon.process.pid, () => {
    most = Math.max(most, resident());
    return most - before >= 128 * MIB;
  });
  expect(most - before).toBeLessThan(128 * MIB);
  for (const socket of sockets.slice(1)) socket.destroy();
  const [slow] = sockets;
  let bytes = 0;
  let tail = Buffer.alloc(0);
  for await (const chunk of slow ?? []) {
    bytes += (chunk as Buffer).byteLength;
    tail = Buffer.concat([tail, chunk as Buffer]).subarray(-16);
    // The last chunk of the body: HTTP/1.1 keeps the connection.
    if (tail.toString('latin1').endsWith('\r\n0\r\n\r\n')) break;
  }
  expect(bytes).toBeGreaterThan(COLUMNS * ROWS * 8);
  await until(async () => (await streamCount()) === 0);
});

describe('a bomb of gzip', () => {
  // A quarter of a MiB that would be 256.
  const bomb = gzipSync(Buffer.alloc(256 * MIB), { level: 9 });
  const enveloped = Buffer.concat([Buffer.from([1, 0, 0, 0, 0]), bomb]);
  enveloped.writeUInt32BE(bomb.byteLength, 1);

  test.each([
    ['a call', 'application/proto', 'Content-Encoding', bomb],
    ['a call in JSON', 'application/json', 'Content-Encoding', bomb],
    ['a stream', 'application/connect+proto', 'Connect-Content-Encoding', enveloped],
    ['gRPC-Web', 'application/grpc-web+proto', 'Grpc-Encoding', enveloped],
    ['a stream that does not say so', 'application/connect+proto', 'X-None', enveloped],
  ])('as %s is refused, unread', async (_, contentType, header, body) => {
    const before = resident();
    const path = pathOf(contentType.includes('+') ? loadResult : getResult);
    const headers = { 'Content-Type': contentType, [header]: 'gzip' };
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => ask(web, path, { method: 'POST', headers, body })),
    );
    for (const answer of answers) expect(answer.body).toMatch(/"code":"(unimplemented|internal)"|grpc-status: 12/);
    expect(resident() - before).toBeLessThan(96 * MIB);
  });
});

test('a message that is far too large is refused, its memory is bounded, and its connection goes on', async () => {
  const before = resident();
  const call = webClients(web)['Connect, binary'];
  const error = await failureOf(call?.getResult({ key: 'k'.repeat(200 * MIB) }) ?? Promise.resolve());
  expect([error.code, infoOf(error)?.reason]).toEqual([Code.ResourceExhausted, 'MESSAGE_TOO_LARGE']);
  expect(resident() - before).toBeLessThan(96 * MIB);
  // Told ahead of it, it is not even waited for.
  const socket = await rawSocket(web);
  const head = ['Content-Type: application/proto', `Host: ${web}`, 'Content-Length: 99999999999'];
  socket.write(`POST ${pathOf(getResult)} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(answer.toString()).toContain('MESSAGE_TOO_LARGE');
  socket.destroy();
  expect(await failureOf(call?.getResult({ key: 'none' }) ?? Promise.resolve())).toMatchObject({ code: Code.NotFound });
});

describe('a limit of connections', () => {
  test('headers over 16 KiB are refused', async () => {
    expect((await post(web, getStatus, {}, { 'X-Long': 'x'.repeat(17 * 1024) })).status).toBe(431);
  });

  test('who sends its headers byte by byte, or none at all, is cut off after 10 s; who waits for an answer is not', async () => {
    const [slow, silent, watching] = await Promise.all([1, 2, 3].map(() => rawSocket(web)));
    if (!slow || !silent || !watching) throw new Error('no connections');
    const ended = [slow, silent].map((socket) => once(socket.resume(), 'close'));
    const head = `GET /healthz HTTP/1.1\r\nHost: ${web}\r\nX: `;
    const drip = setInterval(() => slow.write('x'), 500);
    slow.write(head);
    watching.resume().write(WATCH);
    await Promise.all(ended);
    clearInterval(drip);
    expect(watching.destroyed).toBe(false);
    expect(await streamCount()).toBe(1);
    watching.destroy();
    await until(async () => (await streamCount()) === 0);
  });

  test('requests behind one that is not answered yet close their connection', async () => {
    const socket = await rawSocket(web);
    const ended = once(socket.resume(), 'close');
    socket.write(Buffer.concat([WATCH, WATCH, WATCH]));
    await ended;
    await until(async () => (await streamCount()) === 0);
  });

  test('requests one behind the other share a connection', async () => {
    const answers = ['/healthz', '/none', '/healthz'].map((path) => ask(web, path));
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 404, 200]);
    for (let i = 0; i < 200; i++) expect((await post(web, getStatus, {})).status).toBe(200);
  });

  test('the 513th is closed, and there is room again when others have gone', async () => {
    const sockets = await Promise.all(Array.from({ length: 512 }, () => rawSocket(web)));
    const more = await rawSocket(web);
    await once(more.resume(), 'close');
    for (const socket of sockets) socket.destroy();
    await until(async () => (await ask(web, '/healthz').catch(() => undefined))?.status === 200);
  });
});

test('what is no HTTP, and HTTP/2 without TLS, is refused, and the daemon goes on', async () => {
  for (const bytes of ['\x16\x03\x01\x02\x00', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'GET\r\n\r\n', '\0'.repeat(100)]) {
    const socket = await rawSocket(web);
    socket.resume().end(bytes);
    await once(socket, 'close');
  }
  const upgrade = { Connection: 'Upgrade', Upgrade: 'h2c' };
  expect((await ask(web, '/healthz', { headers: upgrade })).status).toBe(200);
  const asked = {
    method: 'POST',
    headers: { 'Content-Type': 'application/connect+proto' },
    body: Buffer.alloc(1 * MIB),
  };
  expect((await ask(web, pathOf(saveResult), asked)).body).toContain('unimplemented');
  expect(defects()).toEqual([]);
});
