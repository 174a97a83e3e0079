import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { describe, expect, test } from 'vitest';
import type { RowBatch } from '../../../proto/gen/optistore/v1/rows_pb.js';
import {
  GetResultRequestSchema,
  GetResultResponseSchema,
  StorageService,
  type LoadResultResponse,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { schemaOf, type Batch } from '../../../server/rows/batch.js';
import { checkBatch } from '../../../server/rows/check.js';
import { gatherBatches } from '../../../server/rows/gather.js';
import { rawLoad, saveRun } from '../raw-load.js';
import { MIXED, mixedRun } from '../sample-runs.js';
import { pathOf, sharedDaemon } from '../wire.js';
import { until } from '../../cli/cli.js';
import { ask, failureOf, infoOf, post, webAddress, webClients } from './web-daemon.js';

const MIB = 1024 * 1024;
const { daemon, channel } = await sharedDaemon('--web', '127.0.0.1:0');
const web = webAddress(daemon);
const clients = webClients(web);
const EACH = Object.keys(clients);
const clientOf = (name: string) => clients[name] as (typeof clients)[string];

await saveRun(daemon.address, 'web/mixed', MIXED, mixedRun(1000), 300);
const { getResult, loadResult, saveResult, listResults } = StorageService.method;

/** All rows of a load, as one batch. */
async function rowsOf(load: AsyncIterable<LoadResultResponse>): Promise<Batch> {
  const batches: RowBatch[] = [];
  const cases: (string | undefined)[] = [];
  for await (const { message } of load) {
    cases.push(message.case);
    if (message.case === 'batch') batches.push(message.value);
  }
  expect([cases[0], cases.at(-1)]).toEqual(['header', 'trailer']);
  const schema = schemaOf(MIXED.variables);
  return gatherBatches(
    schema,
    batches.map((batch) => checkBatch(schema, batch)),
  );
}

describe.each(EACH)('by %s', (protocol) => {
  const client = clientOf(protocol);

  test('a result is got as over gRPC', async () => {
    const { result } = await client.getResult({ key: 'web/mixed' });
    expect(result).toMatchObject({ key: 'web/mixed', rowCount: 1000n, problem: { name: 'mixed' } });
  });

  test('a result is loaded bit for bit as over gRPC', async () => {
    const request = { key: 'web/mixed', maxBatchBytes: 64 * 1024 };
    const expected = (await rawLoad(channel, request)).rows();
    expect(await rowsOf(client.loadResult(request))).toEqual(expected);
  });

  test('what fails says so with its code and its ErrorInfo, of a unary call and of a stream', async () => {
    for (const call of [client.getResult({ key: 'web/none' }), client.loadResult({ key: 'web/none' })]) {
      const error = await failureOf(call);
      expect(error.code).toBe(Code.NotFound);
      expect(error.rawMessage).toContain('web/none');
      expect(infoOf(error)).toMatchObject({ reason: 'RESULT_NOT_FOUND', domain: 'optistore' });
    }
  });

  test('an error tells its facts', async () => {
    const error = await failureOf(client.watchResults({ afterEvent: 10n ** 15n }));
    expect(infoOf(error)?.reason).toBe('EVENTS_EXPIRED');
    expect(Number(infoOf(error)?.metadata['first_event'])).toBeGreaterThanOrEqual(0);
  });

  test('a message over 4 MiB is MESSAGE_TOO_LARGE', async () => {
    const error = await failureOf(client.getResult({ key: 'k'.repeat(5 * MIB) }));
    expect(error.code).toBe(Code.ResourceExhausted);
    expect(infoOf(error)?.reason).toBe('MESSAGE_TOO_LARGE');
    expect(error.rawMessage).toContain(String(4 * MIB));
  });

  test('SaveResult is UNIMPLEMENTED, and names the gRPC port', async () => {
    const requests = async function* () {
      yield { message: { case: 'open' as const, value: { key: 'web/save', problem: MIXED } } };
    };
    const error = await failureOf(client.saveResult(requests()));
    expect(error.code).toBe(Code.Unimplemented);
    expect(error.rawMessage).toContain(`gRPC, at ${daemon.address}.`);
  });

  test('a call whose time is over is DEADLINE_EXCEEDED', async () => {
    const error = await failureOf(client.watchResults({}, { timeoutMs: 100 }));
    expect(error.code).toBe(Code.DeadlineExceeded);
  });

  test('what is committed is told to who watches', async () => {
    const watched = client.watchResults({ prefix: `web/watched/${protocol}` })[Symbol.asyncIterator]();
    await watched.next();
    await saveRun(daemon.address, `web/watched/${protocol}`, MIXED, mixedRun(1));
    const { value } = (await watched.next()) as IteratorYieldResult<{ event: { case?: string } }>;
    expect(value.event.case).toBe('committed');
    await watched.return?.();
  });
});

describe('SaveResult', () => {
  test.each([
    ['application/connect+proto', 200],
    ['application/connect+json', 200],
    ['application/grpc-web+proto', 200],
    ['application/json', 501],
    ['application/proto', 501],
  ])('asked for as %s over HTTP/1.1 names the gRPC port', async (contentType, status) => {
    const headers = { 'Content-Type': contentType };
    // More messages than one, as of a real save.
    const body = Buffer.alloc(10);
    const answer = await ask(web, pathOf(saveResult), { method: 'POST', headers, body });
    expect(answer.status).toBe(status);
    expect(decodeURIComponent(answer.body)).toContain(`gRPC, at ${daemon.address}.`);
    expect(answer.body).toMatch(/"code":"unimplemented"|grpc-status: 12/);
  });
});

describe('by hand', () => {
  test('a call is protobuf JSON there and back, with HTTP statuses of its own', async () => {
    const good = await post(web, getResult, { key: 'web/mixed', view: 'RESULT_VIEW_BASIC' });
    expect(good).toMatchObject({ status: 200, headers: { 'content-type': 'application/json' } });
    expect(JSON.parse(good.body)).toMatchObject({ result: { key: 'web/mixed', rowCount: '1000' } });
    const bad = await post(web, getResult, { key: 'web/none' });
    expect(bad.status).toBe(404);
    const { code, details } = JSON.parse(bad.body) as { code: string; details: [{ debug: { reason: string } }] };
    expect([code, details[0].debug.reason]).toEqual(['not_found', 'RESULT_NOT_FOUND']);
  });

  test('a call is binary where it is asked for', async () => {
    const body = toBinary(GetResultRequestSchema, create(GetResultRequestSchema, { key: 'web/mixed' }));
    const headers = { 'Content-Type': 'application/proto' };
    const answer = await fetch(`http://${web}${pathOf(getResult)}`, { method: 'POST', headers, body });
    const { result } = fromBinary(GetResultResponseSchema, new Uint8Array(await answer.arrayBuffer()));
    expect(result?.rowCount).toBe(1000n);
  });

  test('a field that nobody knows is refused, and named', async () => {
    const answer = await post(web, getResult, { kee: 'web/mixed' });
    expect(answer.status).toBe(400);
    expect(answer.body).toContain('REQUEST_INVALID');
    expect(answer.body).toContain('kee');
  });

  test.each([
    ['application/json', '{"key":'],
    ['application/json', Buffer.from([0x22, 0xff, 0x22])],
    ['application/proto', Buffer.from([0x0a, 0xff, 0xff])],
  ])('%s that can not be decoded is REQUEST_INVALID', async (contentType, body) => {
    const headers = { 'Content-Type': contentType };
    const answer = await ask(web, pathOf(getResult), { method: 'POST', headers, body });
    expect(answer.status).toBe(400);
    expect(answer.body).toContain('"reason":"REQUEST_INVALID"');
  });

  test.each(['application/connect+proto', 'application/connect+json', 'application/grpc-web+proto'])(
    '%s that can not be decoded is REQUEST_INVALID',
    async (contentType) => {
      const body = Buffer.from([0, 0, 0, 0, 3, 0x0a, 0xff, 0xff]);
      const headers = { 'Content-Type': contentType };
      const answer = await ask(web, pathOf(loadResult), { method: 'POST', headers, body });
      expect(answer.status).toBe(200);
      expect(answer.body).toMatch(/"reason":"REQUEST_INVALID"|grpc-status: 3/);
    },
  );

  test.each([Buffer.alloc(0), Buffer.alloc(3), Buffer.from([0, 0, 0, 0, 9, 1]), Buffer.alloc(10)])(
    'an envelope that is broken or not alone is refused, and the daemon goes on (%#)',
    async (body) => {
      const headers = { 'Content-Type': 'application/connect+proto' };
      const answer = await ask(web, pathOf(loadResult), { method: 'POST', headers, body });
      expect(answer.status).toBe(200);
      expect(answer.body).toContain('"error"');
      expect((await post(web, getResult, { key: 'web/mixed' })).status).toBe(200);
    },
  );

  test.each([
    [4 * MIB, 'REQUEST_INVALID'],
    [4 * MIB + 1, 'MESSAGE_TOO_LARGE'],
  ])('a message of %i bytes is measured to the byte', async (byteLength, reason) => {
    const headers = { 'Content-Type': 'application/json' };
    const body = '"'.padEnd(byteLength, 'x');
    const whole = await ask(web, pathOf(getResult), { method: 'POST', headers, body });
    expect(whole.body).toContain(`"reason":"${reason}"`);
    // Without a length ahead of it, it is counted as it comes.
    const chunked = { ...headers, 'Transfer-Encoding': 'chunked' };
    const counted = await ask(web, pathOf(getResult), { method: 'POST', headers: chunked, body });
    expect(counted.body).toContain(`"reason":"${reason}"`);
  });

  test('no answer is compressed, whatever the client takes', async () => {
    const answer = await post(web, getResult, { key: 'web/mixed' }, { 'Accept-Encoding': 'gzip, br' });
    expect(answer.headers['content-encoding']).toBeUndefined();
    expect(JSON.parse(answer.body)).toMatchObject({ result: { key: 'web/mixed' } });
  });

  test('the example in docs/protocol.md works with a real curl', async () => {
    const text = readFileSync('docs/protocol.md', 'utf8');
    const example = /^curl .*\\\n.*ListResults$/m.exec(text)?.[0] ?? 'false';
    expect(example).toContain('http://127.0.0.1:8080/');
    const { stdout } = await promisify(execFile)('sh', [
      '-c',
      example.replace('127.0.0.1:8080', web).replace('runs/', 'web/m').replace('curl', 'curl -sS --fail'),
    ]);
    expect(JSON.parse(stdout)).toMatchObject({ results: [{ key: 'web/mixed', rowCount: '1000' }] });
  });

  test('a call has its line in the log, with its peer, as over gRPC', async () => {
    await post(web, listResults, { pageSize: -1 });
    const isIt = (text: string) => text.includes('"ListResults"') && text.includes('REQUEST_INVALID');
    // It is written when the answer is.
    await until(() => daemon.process.log.some(isIt));
    expect(JSON.parse(daemon.process.log.find(isIt) ?? '{}')).toMatchObject({
      msg: 'call',
      peer: expect.stringContaining('127.0.0.1:') as string,
    });
  });

  test('/healthz is ok', async () => {
    expect(await ask(web, '/healthz')).toMatchObject({ status: 200, body: 'ok\n' });
  });

  test.each(['/index.htm', '/healthz/', '/../etc/passwd', '//healthz', '/optistore.v1.StorageService/NoSuchMethod'])(
    'there is nothing at %s',
    async (path) => {
      expect((await ask(web, path)).status).toBe(404);
    },
  );
});
