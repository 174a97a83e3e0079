import { once } from 'node:events';
import { connect as connectTo, createServer, type AddressInfo, type Socket } from 'node:net';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { Folder, run, until } from '../cli/cli.js';
import { Certificate } from './certificates.js';
import { PROBLEM, TestDaemon } from './wire.js';

const [own, other, clients] = await Promise.all(['first', 'second', 'clients'].map((name) => Certificate.make(name)));

afterAll(async () => {
  for (const certificate of [own, other, clients]) await certificate?.[Symbol.asyncDispose]();
});

const filesOf = (certificate: Certificate | undefined) => certificate?.files ?? { cert: '', key: '' };

/** The common name of the certificate that a new connection is shown. */
async function shown(address: string): Promise<unknown> {
  const [host, port] = address.split(':');
  const socket = connect({ host, port: Number(port), ALPNProtocols: ['h2'], rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return subject.CN;
}

describe('with tls_cert and tls_key', () => {
  let daemon: TestDaemon;
  let client: OptistoreClient;
  beforeAll(async () => {
    const { cert, key } = filesOf(own);
    daemon = await TestDaemon.startWith({ tls_cert: cert, tls_key: key });
    client = createClient({ address: daemon.address, tls: { ca: cert } });
  });
  afterAll(async () => {
    client.close();
    await daemon[Symbol.asyncDispose]();
  });

  test('a run is saved and loaded over TLS, whole', async () => {
    const writer = await client.save('k', PROBLEM);
    await writer.append({ x: [1, 2], label: ['a', 'b'] });
    await writer.commit();
    expect((await client.load('k').toColumns()).columns['x']?.values).toEqual(Float64Array.of(1, 2));
  });

  test('who does not trust the certificate, or speaks no TLS, is not served', async () => {
    for (const tls of [{ ca: filesOf(other).cert }, true, false]) {
      const stranger = createClient({ address: daemon.address, tls });
      await expect(stranger.getStatus()).rejects.toMatchObject({ code: 14 });
      stranger.close();
    }
  });

  test('SIGHUP takes another certificate without dropping a stream; one that is no good changes nothing', async () => {
    const writer = await client.save('over the change', PROBLEM);
    await writer.append({ x: [1], label: ['a'] });
    await writer.flush();
    expect(await shown(daemon.address)).toBe('first');
    await own?.replaceBy(other as Certificate);
    process.kill(daemon.process.pid, 'SIGHUP');
    await until(
      () => shown(daemon.address),
      (name) => name === 'second',
    );
    await own?.spoil();
    process.kill(daemon.process.pid, 'SIGHUP');
    await until(
      () => daemon.process.log.join('\n'),
      (log) => log.includes('the certificate stays as it was'),
    );
    expect(await shown(daemon.address)).toBe('second');
    await writer.append({ x: [2], label: ['b'] });
    expect((await writer.commit()).rowCount).toBe(2n);
    // One stream and no reconnect: the daemon logs a call as it ends.
    const saves = await until(
      () => daemon.process.log.filter((line) => line.includes('"SaveResult"')),
      (lines) => lines.length > 0,
    );
    expect(saves.every((line) => !line.includes('"reason"'))).toBe(true);
  });
});

test('with tls_client_ca only those with a certificate of that authority are served', async () => {
  await using server = await Certificate.make('server');
  const { cert, key } = server.files;
  await using daemon = await TestDaemon.startWith({
    ...{ tls_cert: cert, tls_key: key, tls_client_ca: filesOf(clients).cert },
  });
  const served = async (tls: object) => {
    const client = createClient({ address: daemon.address, tls: { ca: cert, ...tls } });
    try {
      await client.getStatus();
      return true;
    } catch {
      return false;
    } finally {
      client.close();
    }
  };
  expect(await served({})).toBe(false);
  expect(await served(filesOf(other))).toBe(false);
  expect(await served(filesOf(clients))).toBe(true);
});

describe('a tls_client_ca that would let nobody in', () => {
  const whole = clients?.cert ?? '';
  const useless: Record<string, string> = {
    'is empty': '',
    'is no certificate': 'tls_client_ca: ca.pem\n',
    'has a key alone': clients?.key ?? '',
    'is cut': whole.slice(0, whole.length / 2),
    'has a damaged one behind a whole one': whole + whole.replace('MII', 'AAA'),
  };

  test.each(Object.entries(useless))('%s: the daemon does not start', async (_, content) => {
    await using folder = await Folder.make();
    const { cert, key } = filesOf(other);
    const clientCa = await folder.file('ca.pem', content);
    const settings = { tls_cert: cert, tls_key: key, tls_client_ca: clientCa, listen: '127.0.0.1:0' };
    const config = await folder.file('optistore.yaml', settings);
    const { code, stderr } = await run(['serve', '--config', config], { cwd: folder.path });
    expect(code).toBe(1);
    expect(stderr).toContain(`tls_client_ca is ${clientCa}, which can't be used`);
  });

  test('changes nothing on SIGHUP, and the log says so', async () => {
    await using folder = await Folder.make();
    const { cert, key } = filesOf(other);
    const clientCa = await folder.file('ca.pem', `Text before it is no harm.\n${whole}\n${other?.cert}`);
    await using daemon = await TestDaemon.startWith({ tls_cert: cert, tls_key: key, tls_client_ca: clientCa });
    for (const content of Object.values(useless)) {
      daemon.process.log.length = 0;
      await folder.file('ca.pem', content);
      process.kill(daemon.process.pid, 'SIGHUP');
      await until(() => daemon.process.log.some((line) => line.includes('the certificate stays as it was')));
      expect(daemon.process.log.join('\n')).not.toMatch(/read again/);
    }
    await using client = createClient({ address: daemon.address, tls: { ...filesOf(clients), ca: cert } });
    await client.getStatus();
  });
});

test('a token is not sent over the network unencrypted', () => {
  for (const address of [
    '192.0.2.1:50051',
    '127.evil.example:50051',
    '127.0.0.1.evil.example:50051',
    '127.0.0.999:50051',
    'localhost.evil.example:50051',
    'unix.evil.example:50051',
    'dns://127.0.0.1:53/evil.example:50051',
  ])
    expect(() => createClient({ address, token: 'ost_x' }), address).toThrow(/unencrypted/);
  for (const options of [
    { address: '192.0.2.1:50051', token: 'ost_x', tls: true },
    { address: '192.0.2.1:50051', token: 'ost_x', insecure: true },
    { address: '127.0.0.1:1', token: 'ost_x' },
    { address: '127.1.2.3:1', token: 'ost_x' },
    { address: 'localhost:1', token: 'ost_x' },
    { address: '[::1]:1', token: 'ost_x' },
    { address: 'unix:/tmp/none', token: 'ost_x' },
    { address: '192.0.2.1:50051', token: '' },
  ])
    createClient(options).close();
});

/** A proxy as http_proxy names one: it passes on what it is asked to by CONNECT, and keeps what it was sent. */
class Proxy implements AsyncDisposable {
  received = '';
  private readonly sockets = new Set<Socket>();
  private readonly server = createServer((socket) => this.serve(socket));

  static async start(): Promise<Proxy> {
    const proxy = new Proxy();
    await once(proxy.server.listen(0, '127.0.0.1'), 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  private serve(socket: Socket): void {
    this.keep(socket).on('data', (bytes: Buffer) => (this.received += bytes.toString('latin1')));
    socket.once('data', (bytes: Buffer) => {
      const [, host = '', port = ''] = /^CONNECT ([^ :]+):(\d+) /.exec(bytes.toString()) ?? [];
      const onward = this.keep(connectTo(Number(port), host));
      onward.once('connect', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        socket.pipe(onward).pipe(socket);
      });
    });
  }

  private keep(socket: Socket): Socket {
    this.sockets.add(socket);
    return socket.on('error', () => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

describe('where the environment names a proxy', () => {
  const { cert, key } = filesOf(other);
  let proxy: Proxy;
  beforeEach(async () => {
    proxy = await Proxy.start();
    for (const name of ['grpc_proxy', 'https_proxy', 'http_proxy']) vi.stubEnv(name, proxy.url);
    for (const name of ['no_grpc_proxy', 'no_proxy']) vi.stubEnv(name, undefined);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await proxy[Symbol.asyncDispose]();
  });

  test('it learns nothing of what is not encrypted', async () => {
    await using daemon = await TestDaemon.start();
    await using client = createClient({ address: daemon.address, token: 'ost_secret' });
    await client.getStatus();
    expect(proxy.received).toBe('');
  });

  test('the client goes through it by TLS, and it sees no token', async () => {
    await using daemon = await TestDaemon.startWith({ tls_cert: cert, tls_key: key });
    await using client = createClient({ address: daemon.address, token: 'ost_secret', tls: { ca: cert } });
    await client.getStatus();
    expect(proxy.received).toContain(`CONNECT ${daemon.address}`);
    expect(proxy.received).not.toContain('ost_secret');
  });
});
