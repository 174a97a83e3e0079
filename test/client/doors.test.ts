import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { connectTransport } from '../../clients/typescript/connect-transport.js';
import { OptistoreError, type OptistoreClient } from '../../clients/typescript/index.js';
import { createToken } from '../../server/rpc/access/token-file.js';
import { Certificate } from '../rpc/certificates.js';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';
import { TRANSPORTS, type MakeClient } from './transports.js';

async function saveTwoRows(client: OptistoreClient, key: string): Promise<void> {
  const writer = await client.save(key, PROBLEM);
  await writer.append({ x: [1, 2], label: ['a', 'b'] });
  await writer.commit();
}

async function loaded(client: OptistoreClient, key: string) {
  return (await client.load(key).toColumns()).columns['x']?.values;
}

/** Files that this process, which is the client, has open. */
function openFiles(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // Closed meanwhile.
      return [];
    }
  });
}

/** What a call fails with, as users see it. */
async function failureOf(call: Promise<unknown>) {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof OptistoreError))
    throw new Error('the call did not fail with an OptistoreError', { cause: error });
  const { message, code, reason, metadata, isRetryable } = error;
  return { message, code, reason, metadata: { ...metadata }, isRetryable };
}

/** Failures of calls of each kind. */
async function failures(clientOf: MakeClient, address: string) {
  await using client = clientOf({ address, retryMs: 0 });
  const first = await client.save('k', PROBLEM, { uploadId: 'u' });
  await first.append({ x: [1], label: ['a'] });
  await first.flush();
  const second = await client.save('k', PROBLEM, { uploadId: 'u' });
  await second.append({ x: [2], label: ['b'] });
  const takenOver = await failureOf(first.append({ x: [2], label: ['b'] }).then(() => first.flush()));
  await second.commit();
  return [
    takenOver,
    await failureOf(client.getResult('none')),
    await failureOf(client.save('', PROBLEM)),
    await failureOf(client.load('none').toColumns()),
    await failureOf(client.load('k', { rows: [7] }).toColumns()),
    await failureOf(client.save('k', PROBLEM, { expectedRevision: 7n }).then((writer) => writer.commit())),
    await failureOf(client.watch({ afterEvent: 10n ** 9n }).next()),
  ];
}

test('errors are the same by each transport: message, code, reason and facts', async () => {
  const found = [];
  for (const [, clientOf] of TRANSPORTS) {
    await using daemon = await TestDaemon.start();
    found.push(await failures(clientOf, daemon.address));
  }
  const [byGrpcJs = [], byConnect] = found;
  // Numbers that are another's each time.
  const told = (errors: typeof byGrpcJs | undefined) =>
    JSON.parse(JSON.stringify(errors).replaceAll(/\d{4,}/g, 'N')) as unknown;
  expect(told(byConnect)).toEqual(told(byGrpcJs));
  expect(byGrpcJs.map(({ reason }) => reason)).toEqual([
    'UPLOAD_TAKEN_OVER',
    'RESULT_NOT_FOUND',
    'KEY_INVALID',
    'RESULT_NOT_FOUND',
    'ROW_RANGE_INVALID',
    'REVISION_MISMATCH',
    'EVENTS_EXPIRED',
  ]);
  expect(byGrpcJs.at(-1)?.metadata).toHaveProperty('first_event');
});

describe.each(TRANSPORTS)('by %s', (_, clientOf) => {
  test('a daemon that is not there is told with its address, and may be tried again', async () => {
    await using client = clientOf({ address: '127.0.0.1:1', retryMs: 0 });
    for (const call of [client.getStatus(), client.load('k').toColumns(), client.save('k', PROBLEM)]) {
      const failure = await failureOf(call);
      expect(failure).toMatchObject({ code: 14, reason: undefined, isRetryable: true });
      expect(failure.message).toContain('No daemon answers at 127.0.0.1:1 (');
    }
  });

  test('a run is saved and loaded at a Unix socket, where rows are read from files', async () => {
    await using daemon = await TestDaemon.startIn((folder) => ({ socket: join(folder, 'socket') }));
    await using client = clientOf({ address: `unix:${join(daemon.folder, 'socket')}` });
    const writer = await client.save('k', PROBLEM);
    const x = Float64Array.from({ length: 50_000 }, (_, i) => i);
    await writer.append({ x, label: Array.from(x, String) });
    await writer.commit();
    let wereOpen = false;
    for await (const { firstRow, rowCount, columns } of client.load('k')) {
      wereOpen ||= openFiles().some((path) => path.startsWith(daemon.folder));
      expect(columns['x']?.values).toEqual(x.slice(firstRow, firstRow + rowCount));
    }
    expect(wereOpen).toBe(true);
    await daemon.process.stop('SIGKILL');
    const failure = await failureOf(client.getStatus());
    expect(failure).toMatchObject({ code: 14, isRetryable: true });
  });

  test('a token goes with each call', async () => {
    let token = '';
    await using daemon = await TestDaemon.startIn((folder) => {
      const tokens = join(folder, 'tokens.json');
      token = createToken(tokens, { name: 'n', scope: 'write', prefix: 'mine/' });
      return { tokens };
    });
    await using client = clientOf({ address: daemon.address, token, retryMs: 0 });
    await saveTwoRows(client, 'mine/k');
    expect(await loaded(client, 'mine/k')).toEqual(Float64Array.of(1, 2));
    expect((await client.watch({ prefix: 'mine/', afterEvent: 0n }).next()).done).toBe(false);
    expect((await failureOf(client.save('others/k', PROBLEM))).reason).toBe('NOT_ALLOWED');
    await using stranger = clientOf({ address: daemon.address, token: '' });
    expect(await failureOf(stranger.getStatus())).toMatchObject({ code: 16, reason: 'TOKEN_INVALID' });
  });

  test('over TLS a run is saved and loaded; who trusts or shows another certificate, or none, is not served', async () => {
    await using server = await Certificate.make('server');
    await using own = await Certificate.make('own');
    const { cert: ca } = server.files;
    const settings = { tls_cert: ca, tls_key: server.files.key, tls_client_ca: own.files.cert };
    await using daemon = await TestDaemon.startWith(settings);
    await using client = clientOf({ address: daemon.address, tls: { ca, ...own.files } });
    await saveTwoRows(client, 'k');
    expect(await loaded(client, 'k')).toEqual(Float64Array.of(1, 2));
    for (const tls of [{ ca: own.files.cert, ...own.files }, { ca }, { ca, ...server.files }, true, false]) {
      await using stranger = clientOf({ address: daemon.address, tls });
      expect(await failureOf(stranger.getStatus())).toMatchObject({ code: 14, reason: undefined });
    }
    const missing = () => clientOf({ address: daemon.address, tls: { ca: '/none.pem' } });
    expect(missing).toThrow("The TLS file /none.pem can't be read");
  });

  test('a Unix socket that leads to a port with TLS is asked for its certificate', async () => {
    await using server = await Certificate.make('server');
    const { cert, key } = server.files;
    await using daemon = await TestDaemon.startWith({ tls_cert: cert, tls_key: key });
    const path = join(daemon.folder, 'relay');
    await using relay = createServer((socket) => {
      const onward = connect(Number(daemon.address.split(':')[1]), '127.0.0.1');
      socket.pipe(onward).pipe(socket);
      for (const end of [socket, onward]) end.on('error', () => end.destroy());
    });
    await once(relay.listen(path), 'listening');
    await using client = clientOf({ address: `unix:${path}`, tls: { ca: cert } });
    await saveTwoRows(client, 'k');
    expect(await loaded(client, 'k')).toEqual(Float64Array.of(1, 2));
    await using stranger = clientOf({ address: `unix:${path}`, tls: true });
    expect(await failureOf(stranger.getStatus())).toMatchObject({ code: 14 });
    client.close();
  });

  test('a token is not sent over the network unencrypted', () => {
    const token = 'ost_x';
    for (const address of ['192.0.2.1:50051', '127.0.0.1.evil.example:50051', 'dns://127.0.0.1:53/evil.example:50051'])
      expect(() => clientOf({ address, token }), address).toThrow(/unencrypted/);
    for (const more of [{ tls: true }, { insecure: true }])
      clientOf({ address: '192.0.2.1:50051', token, ...more }).close();
    for (const address of ['127.1.2.3:1', 'localhost:1', '[::1]:1', 'unix:/tmp/none'])
      clientOf({ address, token }).close();
  });
});

test('an address that a URL would read as another one makes no transport', () => {
  for (const address of [
    '127.0.0.1:1@evil.example:2',
    'evil.example:2/127.0.0.1:1',
    'evil.example:2#:1',
    'evil.example',
    '',
  ])
    expect(() => connectTransport({ address, insecure: true }), address).toThrow(/is no address/);
});
