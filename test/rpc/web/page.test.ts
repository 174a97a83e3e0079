import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { sharedDaemon } from '../wire.js';
import { ask, webAddress } from './web-daemon.js';

const { daemon } = await sharedDaemon('--web', '127.0.0.1:0');
const web = webAddress(daemon);
const [script = ''] = /assets\/[\w.-]+\.js/.exec(await readFile('dist/web/index.html', 'utf8')) ?? [];

/** What a browser says where somebody followed a link of another site. */
const FOLLOWED = { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' };

test('is served at the root of the web port, with its scripts, under the strict headers', async () => {
  const page = await ask(web, '/');
  expect(page).toMatchObject({ status: 200, body: await readFile('dist/web/index.html', 'utf8') });
  expect(page.headers).toMatchObject({
    'content-type': 'text/html; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'content-security-policy': expect.stringContaining("default-src 'self'") as string,
  });
  const scripted = await ask(web, `/${script}`);
  expect(scripted).toMatchObject({ status: 200, body: await readFile(`dist/web/${script}`, 'utf8') });
  expect(scripted.headers['content-type']).toBe('text/javascript; charset=utf-8');
});

test('is compressed for who takes that, and sent in full to who does not', async () => {
  const plain = await ask(web, `/${script}`);
  expect(plain.headers['content-encoding']).toBeUndefined();
  expect(plain.headers.vary).toBe('Accept-Encoding');
  const zipped = await fetch(`http://${web}/${script}`, { headers: { 'Accept-Encoding': 'br, gzip' } });
  expect(zipped.headers.get('content-encoding')).toBe('gzip');
  expect(Number(zipped.headers.get('content-length'))).toBeLessThan(plain.body.length);
  expect(await zipped.text()).toBe(plain.body);
  const refused = await ask(web, `/${script}`, { headers: { 'Accept-Encoding': 'gzip;q=0, identity' } });
  expect(refused.headers['content-encoding']).toBeUndefined();
});

test('is asked for again at each visit, its scripts once', async () => {
  const { etag = '', ...headers } = (await ask(web, '/')).headers;
  expect(headers['cache-control']).toBe('no-cache');
  expect(await ask(web, '/', { headers: { 'If-None-Match': etag } })).toMatchObject({ status: 304, body: '' });
  expect(await ask(web, '/', { headers: { 'If-None-Match': '"of yesterday"' } })).toMatchObject({ status: 200 });
  // As a proxy in between may have it.
  const weak = { 'If-None-Match': `"of yesterday", W/${etag}` };
  expect(await ask(web, '/', { headers: weak })).toMatchObject({ status: 304, body: '' });
  expect((await ask(web, `/${script}`)).headers['cache-control']).toBe('public, max-age=31536000, immutable');
});

test('can be come to by a link of another site, which can neither embed nor fetch it', async () => {
  expect((await ask(web, '/', { headers: FOLLOWED })).status).toBe(200);
  for (const headers of [
    { ...FOLLOWED, 'Sec-Fetch-Dest': 'iframe' },
    { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors', 'Sec-Fetch-Dest': 'script' },
    { ...FOLLOWED, Origin: 'http://evil.example' },
  ])
    expect((await ask(web, '/', { headers })).status).toBe(403);
});

test.each([
  '/../package.json',
  '/%2e%2e/package.json',
  '/assets/',
  '/assets',
  '/index.html/',
  '//etc/passwd',
  '/nothing',
])('has nothing at %s', async (path) => {
  expect((await ask(web, path)).status).toBe(404);
});

test('is asked for by GET and HEAD alone', async () => {
  expect(await ask(web, '/', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
  expect((await ask(web, '/', { method: 'POST' })).status).toBe(404);
});
