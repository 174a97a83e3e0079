import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  GetResultRequestSchema,
  ListResultsRequestSchema,
  LoadResultRequestSchema,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { StorageError } from '../../server/errors.js';
import { answerOf, BareHttp2, framed } from '../faults/bare-http2.js';
import { until } from '../cli/cli.js';
import { Certificate } from './certificates.js';
import { pathOf, TestDaemon } from './wire.js';
import { webAddress } from './web/web-daemon.js';

const [SERVICE, HEALTH] = ['/optistore.v1.StorageService', '/grpc.health.v1.Health'];
const LONG = 3_900_000;

let certificate: Certificate;
let daemon: TestDaemon;
beforeAll(async () => {
  certificate = await Certificate.make('long-errors');
  const { cert, key } = certificate.files;
  daemon = await TestDaemon.startWith({ web: '127.0.0.1:0', tls_cert: cert, tls_key: key });
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await certificate[Symbol.asyncDispose]();
});

const longKey = toBinary(GetResultRequestSchema, create(GetResultRequestSchema, { key: `k${'ä'.repeat(LONG / 2)}` }));
const longOrder = toBinary(
  ListResultsRequestSchema,
  create(ListResultsRequestSchema, { orderBy: 'é'.repeat(LONG / 2) }),
);
const longColumn = toBinary(
  LoadResultRequestSchema,
  create(LoadResultRequestSchema, { key: 'k', columns: ['%'.repeat(LONG)] }),
);

/** Makes a call, and says whether another one on the same connection is answered. */
async function callAndAnother(address: string, path: string, body: Buffer, headers: Record<string, string> = {}) {
  using connection = new BareHttp2(address, {}, certificate.cert);
  const stream = connection.call(path, headers);
  stream.end(body);
  const answer = await answerOf(stream);
  const another = connection.call(pathOf({ name: 'GetStatus' }), headers);
  const isConnect = headers['content-type'] === 'application/proto';
  another.end(isConnect ? Buffer.alloc(0) : framed(Buffer.alloc(0)));
  const { status } = await answerOf(another);
  return { ...answer, another: status };
}

describe('an error', () => {
  test.each([
    { what: 'a key', path: `${SERVICE}/GetResult`, bytes: longKey },
    { what: 'an order', path: `${SERVICE}/ListResults`, bytes: longOrder },
    { what: 'a column', path: `${SERVICE}/LoadResult`, bytes: longColumn },
    { what: 'a service whose health is asked for', path: `${HEALTH}/Check`, bytes: longKey },
  ])('about something long repeats a part of it, and the connection serves on: $what', async ({ path, bytes }) => {
    const { grpcStatus, message, another } = await callAndAnother(daemon.address, path, framed(bytes));
    expect([3, 5]).toContain(grpcStatus);
    expect(Buffer.byteLength(decodeURIComponent(message ?? ''))).toBeLessThanOrEqual(1024);
    expect(another).toBe(200);
  });

  test.each(['application/proto', 'application/grpc-web+proto'])(
    'about something long leaves the web port serving, by %s',
    async (type) => {
      const body = type === 'application/proto' ? Buffer.from(longKey) : framed(longKey);
      const headers = { 'content-type': type };
      const answer = await callAndAnother(webAddress(daemon), `${SERVICE}/GetResult`, body, headers);
      expect([200, 400]).toContain(answer.status);
      expect(answer.another).toBe(200);
    },
  );

  test('takes no more than a few KiB of the log, whatever was sent', async () => {
    const body = JSON.stringify({ ['k'.repeat(LONG)]: 1 });
    const answer = await fetch(`https://${webAddress(daemon)}${SERVICE}/GetResult`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body },
    }).catch((error: unknown) => error);
    expect(answer).toBeInstanceOf(Error);
    using connection = new BareHttp2(webAddress(daemon), {}, certificate.cert);
    const stream = connection.call(`${SERVICE}/GetResult`, { 'content-type': 'application/json' });
    stream.end(body);
    expect((await answerOf(stream)).status).toBe(400);
    // The log keeps the order of the calls, and is written a moment behind them.
    const last = pathOf({ name: 'DeleteResult' });
    await callAndAnother(webAddress(daemon), last, Buffer.alloc(0), { 'content-type': 'application/proto' });
    await until(() => daemon.process.log.some((line) => line.includes('"DeleteResult"')));
    expect(Math.max(...daemon.process.log.map((line) => line.length))).toBeLessThan(4096);
  });

  test('leaves out the middle of what is long, between whole characters', () => {
    const { message, metadata } = new StorageError('KEY_INVALID', `begin ${'€'.repeat(5000)} Do this.`, {
      metadata: { fact: '😀'.repeat(1000) },
    });
    expect(message).toMatch(/^begin €+ … €+ Do this\.$/);
    expect(metadata['fact']).toMatch(/^😀+ … 😀+$/u);
    for (const text of [message, metadata['fact'] ?? '']) expect(Buffer.byteLength(text)).toBeLessThanOrEqual(1024);
  });
});
