import type * as Crypto from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { createToken, hashOf, parseToken } from '../../server/rpc/access/token-file.js';
import { Tokens } from '../../server/rpc/access/tokens.js';
import { PASSWORD, PostgresServer } from '../backends/postgres.js';
import { Certificate } from './certificates.js';
import { PROBLEM, TestDaemon } from './wire.js';

const compared = vi.hoisted(() => [] as [Buffer, Buffer][]);
vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof Crypto>();
  return {
    ...crypto,
    timingSafeEqual(a: Buffer, b: Buffer) {
      compared.push([a, b]);
      return crypto.timingSafeEqual(a, b);
    },
  };
});

let folder: string;
let server: PostgresServer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'optistore-secrets-'));
  server = await PostgresServer.start();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** What a call came to, as text: all that its error says, too. */
async function outcome(call: Promise<unknown>): Promise<string> {
  return call.then(
    textOf,
    (error: Error) => `${error.stack} ${textOf(error)} ${String(error.cause)} ${textOf(error.cause)}`,
  );
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part)) ?? '';
}

test('no secret is in the file of tokens, the log, an error, a status or the arguments of a process', async () => {
  const file = join(folder, 'tokens.json');
  const token = createToken(file, { name: 'admin', scope: 'admin', prefix: '' });
  const [secret, wrong] = [token.slice('ost_0123456789ab_'.length), 'w'.repeat(43)];
  expect(secret).toHaveLength(43);
  await using certificate = await Certificate.make('secrets');
  const { cert, key } = certificate.files;
  await using daemon = await TestDaemon.startWith({
    ...{ tokens: file, tls_cert: cert, tls_key: key, web: '127.0.0.1:0', log_level: 'trace' },
    primary: { type: 'database', connection_string: await server.createDatabase() },
    secondary: { type: 'database', connection_string: 'postgresql://ann:0ther-s3cret@127.0.0.1:1/results' },
  });
  const said: string[] = [];
  for (const presented of [token, `${token.slice(0, -43)}${wrong}`, `ost_${'0'.repeat(12)}_${wrong}`, wrong]) {
    await using client = createClient({ address: daemon.address, tls: { ca: cert }, token: presented, retryMs: 100 });
    said.push(await outcome(client.save('k', PROBLEM).then((writer) => writer.commit())));
    said.push(await outcome(client.getStatus()));
    said.push(await outcome(client.load('k', { from: 'secondary' }).toColumns()));
  }
  await server.down();
  await using client = createClient({ address: daemon.address, tls: { ca: cert }, token, retryMs: 100 });
  said.push(await outcome(client.getStatus()), await outcome(client.getResult('k')));
  const commandLine = await readFile(`/proc/${daemon.process.pid}/cmdline`, 'utf8');
  // The log is whole when the daemon has ended.
  await daemon.process.stop('SIGTERM');
  const places = {
    ...{ file: await readFile(file, 'utf8'), log: daemon.process.log.join('\n'), answers: said.join('\n') },
    arguments: commandLine,
  };
  // The store's troubles are told, so its name is; and who was refused.
  expect(places.answers).toMatch(/TOKEN_INVALID.*BACKEND_UNAVAILABLE/s);
  expect(places.log).toContain('127.0.0.1:1/results');
  const keyLines = certificate.key.split('\n').filter((line) => line.length > 40);
  const passwords = [PASSWORD, encodeURIComponent(PASSWORD), '0ther-s3cret'];
  for (const [place, text] of Object.entries(places))
    for (const hidden of [secret, wrong, ...passwords, ...keyLines])
      expect(text.includes(hidden), `${hidden} in the ${place}`).toBe(false);
});

test('the secret of a token is compared in constant time, as a hash, also where there is no such token', () => {
  const file = join(folder, 'compared.json');
  const token = createToken(file, { name: 'a', scope: 'read', prefix: '' });
  using tokens = new Tokens(file);
  for (const presented of [token, `${token.slice(0, -4)}AAAA`, `ost_${'0'.repeat(12)}_${'x'.repeat(43)}`, 'nonsense']) {
    compared.length = 0;
    const admit = () => tokens.admit(`Bearer ${presented}`);
    if (presented === token) admit();
    else expect(admit).toThrow('not known here');
    expect(compared.map((pair) => pair.map(({ byteLength }) => byteLength))).toEqual([[32, 32]]);
    expect(compared[0]?.[0]).toEqual(hashOf(parseToken(presented)?.secret ?? ''));
  }
});
