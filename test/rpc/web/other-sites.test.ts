import { describe, expect, test } from 'vitest';
import { StorageService } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { pathOf, PROBLEM, sharedDaemon, TestDaemon } from '../wire.js';
import { ask, post, rawSocket, webAddress, type AskOptions } from './web-daemon.js';

const { deleteResult, getStatus, listResults } = StorageService.method;
const { daemon, client } = await sharedDaemon('--web', '127.0.0.1:0');
const web = webAddress(daemon);
const port = web.slice(web.lastIndexOf(':') + 1);

const writer = await client.save('site/kept', PROBLEM);
await writer.append({ x: [1], label: ['a'] });
await writer.commit();

/** Whether no page of another site may read an answer, by its headers. */
function isShut(headers: NodeJS.Dict<string | string[]>): boolean {
  return Object.keys(headers).every((name) => !name.startsWith('access-control-') && name !== 'set-cookie');
}

describe('by the name in Host', () => {
  test.each([web, `localhost:${port}`, `LocalHost:${port}`, `[::1]:${port}`])(
    '%s is the daemon itself',
    async (Host) => {
      expect((await post(web, getStatus, {}, { Host })).status).toBe(200);
    },
  );

  test.each([
    'rebound.example.com',
    `rebound.example.com:${port}`,
    '127.0.0.1',
    '127.0.0.1:1',
    `127.0.0.1.example.com:${port}`,
    `localhost.example.com:${port}`,
    `127.0.0.2:${port}`,
    `user@127.0.0.1:${port}`,
    `127.0.0.1:${port}/`,
    `127.0.0.1:${port}@example.com`,
    `example.com#127.0.0.1:${port}`,
  ])('"%s" is not, and gets nothing, whatever it asks for', async (Host) => {
    for (const path of ['/healthz', '/', pathOf(getStatus)]) {
      const method = path === pathOf(getStatus) ? 'POST' : 'GET';
      const headers = { Host, 'Content-Type': 'application/json' };
      const answer = await ask(web, path, { method, headers, body: method === 'POST' ? '{}' : '' });
      expect(answer.status).toBe(403);
      expect(answer.body).not.toContain('version');
      expect(isShut(answer.headers)).toBe(true);
    }
  });

  test.each([
    'GET /healthz HTTP/1.0\r\n\r\n',
    'GET /healthz HTTP/1.1\r\n\r\n',
    'GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n',
    `GET http://${web}/healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`,
  ])('none, or one beside the address, is refused (%j)', async (request) => {
    const socket = await rawSocket(web);
    socket.end(request);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 40[03] /);
  });

  test('a name of web_hosts is the daemon too: with its port, or with any', async () => {
    await using named = await TestDaemon.startWith({
      web: '127.0.0.1:0',
      web_hosts: ['any.example', 'one.example:9000'],
    });
    const statusOf = async (Host: string) => (await post(webAddress(named), getStatus, {}, { Host })).status;
    const hosts = ['any.example', 'any.example:1', 'ANY.example', 'one.example:9000', 'one.example', 'two.example'];
    expect(await Promise.all(hosts.map(statusOf))).toEqual([200, 200, 200, 200, 403, 403]);
  });
});

describe('by the Origin', () => {
  const own: Record<string, string>[] = [
    { Origin: `http://${web}` },
    { Origin: `http://localhost:${port}`, Host: `localhost:${port}` },
    { Origin: `http://${web}`, 'Sec-Fetch-Site': 'same-origin' },
    { 'Sec-Fetch-Site': 'none' },
  ];
  test.each(own)('a page of its own may call (%o)', async (headers) => {
    const answer = await post(web, getStatus, {}, headers);
    expect(answer.status).toBe(200);
    expect(isShut(answer.headers)).toBe(true);
  });

  const others: Record<string, string>[] = [
    { Origin: 'http://evil.example' },
    { Origin: 'https://evil.example', 'Sec-Fetch-Site': 'cross-site' },
    { Origin: 'null' },
    { Origin: 'http://127.0.0.1' },
    { Origin: `http://127.0.0.1:${Number(port) - 1}` },
    { Origin: `http://localhost:${port}` },
    { Origin: `http://${web}.evil.example` },
    { Origin: `http://${web}@evil.example` },
    { Origin: `http://evil.example@${web}` },
    { Origin: `http://evil@${web}` },
    { Origin: `http://${web}/path` },
    { Origin: `file://${web}` },
    { Origin: `http://${web}, http://evil.example` },
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site' },
    { Origin: `http://${web}`, 'Sec-Fetch-Site': 'cross-site' },
  ];
  test.each(others)('a page of another site may not (%o)', async (headers) => {
    const answer = await post(web, deleteResult, { key: 'site/kept' }, headers);
    expect(answer.status).toBe(403);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'permission_denied' });
    expect(isShut(answer.headers)).toBe(true);
  });

  test('its preflight is refused, so that no browser sends what it asks about', async () => {
    const headers = {
      Origin: 'http://evil.example',
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'content-type',
    };
    const answer = await ask(web, pathOf(listResults), { method: 'OPTIONS', headers });
    expect(answer.status).toBe(403);
    expect(isShut(answer.headers)).toBe(true);
    const bare = await ask(web, pathOf(listResults), { method: 'OPTIONS' });
    expect(bare.status).toBe(405);
    expect(isShut(bare.headers)).toBe(true);
  });
});

/** What a browser sends to another site without asking about it first, an old one without a word of whose page it was. */
const BODY = JSON.stringify({ key: 'site/kept' });
const SIMPLE: Record<string, AskOptions> = {
  'a text': { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: BODY },
  'a text that looks like more': {
    method: 'POST',
    headers: { 'Content-Type': 'text/plain; application/json' },
    body: BODY,
  },
  'a form': { method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: BODY },
  'a form with parts': { method: 'POST', headers: { 'Content-Type': 'multipart/form-data; boundary=x' }, body: BODY },
  'a body without a type': { method: 'POST', body: BODY },
  'a GET': { method: 'GET' },
  'a HEAD': { method: 'HEAD' },
};

describe.each(Object.keys(SIMPLE))('%s, which a browser sends to other sites unasked,', (name) => {
  const asked = SIMPLE[name] as AskOptions;

  test('calls no rpc', async () => {
    const query = `?encoding=json&message=${encodeURIComponent(BODY)}&connect=v1`;
    for (const path of [pathOf(deleteResult), pathOf(deleteResult) + query, pathOf(getStatus) + query]) {
      const answer = await ask(web, path, asked);
      expect([405, 415]).toContain(answer.status);
      expect(answer.body).not.toContain('version');
    }
    expect((await client.getResult('site/kept')).rowCount).toBe(1n);
  });

  test('is refused as that of another site', async () => {
    const headers = { ...asked.headers, Origin: 'http://evil.example' };
    expect((await ask(web, pathOf(deleteResult), { ...asked, headers })).status).toBe(403);
  });
});

test.each([
  ['/healthz', {}],
  ['/nothing', {}],
  ['/healthz', { Origin: 'http://evil.example' }],
  [pathOf(getStatus), {}],
])('the answer to %s (%o) has the strict headers', async (path, headers) => {
  const answer = await ask(web, path, { headers });
  expect(answer.headers).toMatchObject({
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'cache-control': 'no-store',
  });
  const policy = String(answer.headers['content-security-policy']).split('; ');
  for (const rule of ["default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"])
    expect(policy).toContain(rule);
  expect(answer.headers).not.toHaveProperty('set-cookie');
});

test('so has the answer of an rpc, in full and as a stream, also where it failed', async () => {
  const stream = { 'Content-Type': 'application/connect+json' };
  const answers = [
    await post(web, getStatus, {}),
    await post(web, StorageService.method.getResult, { key: 'site/none' }),
    await post(web, StorageService.method.loadResult, {}, stream),
  ];
  for (const { headers } of answers) {
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    expect(headers).not.toHaveProperty('set-cookie');
  }
});
