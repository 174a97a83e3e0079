import type { Interceptor } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, test } from 'vitest';
import { connectTransport } from '../../clients/typescript/connect-transport.js';
import { createClient } from '../../clients/typescript/index.js';
import { SentMessages } from '../../clients/typescript/sent-messages.js';
import { Certificate } from '../rpc/certificates.js';
import { webAddress } from '../rpc/web/web-daemon.js';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';

const ROWS = { x: [1, 2], label: ['a', 'b'] };

describe('a Transport that is handed in', () => {
  test('has interceptors, which see each call and the rows that are saved', async () => {
    await using daemon = await TestDaemon.start();
    const seen: string[] = [];
    const watching: Interceptor = (next) => async (request) => {
      seen.push(request.method.name);
      if (!request.stream) return next(request);
      const { message } = request;
      const passedOn = async function* () {
        for await (const sent of message) {
          if ('message' in sent) seen.push((sent.message as { case: string }).case);
          yield sent;
        }
      };
      return next({ ...request, message: passedOn() });
    };
    using transport = connectTransport({ address: daemon.address, interceptors: [watching] });
    await using client = createClient({ transport });
    const writer = await client.save('k', PROBLEM);
    await writer.append(ROWS);
    await writer.commit();
    await client.getResult('k');
    expect((await client.load('k').toColumns()).columns['label']?.values).toEqual(ROWS.label);
    expect(seen).toEqual(['SaveResult', 'open', 'batch', 'commit', 'GetResult', 'LoadResult']);
  });

  test('may be any: gRPC without an address, and the protocol of Connect at the web port over HTTP/2', async () => {
    await using certificate = await Certificate.make('web');
    const { cert: tls_cert, key: tls_key } = certificate.files;
    await using daemon = await TestDaemon.startWith({ tls_cert, tls_key, web: '127.0.0.1:0' });
    const nodeOptions = { ca: certificate.cert };
    const transports = [
      createGrpcTransport({ baseUrl: `https://${daemon.address}`, nodeOptions }),
      createConnectTransport({ baseUrl: `https://${webAddress(daemon)}`, httpVersion: '2', nodeOptions }),
    ];
    for (const [i, transport] of transports.entries()) {
      await using client = createClient({ transport, retryMs: 0 });
      const writer = await client.save(`k${i}`, PROBLEM);
      await writer.append(ROWS);
      await writer.commit();
      expect((await client.load(`k${i}`).toColumns()).columns['x']?.values).toEqual(Float64Array.from(ROWS.x));
      await expect(client.getResult('none')).rejects.toMatchObject({ code: 5, reason: 'RESULT_NOT_FOUND' });
    }
  });

  test('is used by several clients, and outlives each; closed, it connects again when it is used', async () => {
    await using daemon = await TestDaemon.start();
    using transport = connectTransport({ address: daemon.address });
    for (let round = 0; round < 2; round++) {
      await using client = createClient({ transport });
      await using other = createClient({ transport });
      const watching = other.watch();
      await watching.next();
      client.close();
      await other.getStatus();
      transport.close();
      // It goes on by itself.
      expect((await watching.next()).done).toBe(false);
    }
  });
});

describe('messages that are sent by Connect', () => {
  test('wait for who sends them, two at a time', async () => {
    const messages = new SentMessages<number>();
    expect([messages.write(1), messages.write(2)]).toEqual([true, false]);
    let isDrained = false;
    const drained = messages.drained().then(() => (isDrained = true));
    await Promise.resolve();
    expect(isDrained).toBe(false);
    expect(await messages.next()).toEqual({ done: false, value: 1 });
    await drained;
    messages.end();
    expect(await messages.next()).toEqual({ done: false, value: 2 });
    expect(await messages.next()).toEqual({ done: true, value: undefined });
  });

  test('are let go of when the call ends, and who waits for room is woken', async () => {
    const messages = new SentMessages<number>();
    messages.write(1);
    messages.write(2);
    const drained = messages.drained();
    messages.cut();
    await drained;
    expect(messages.write(3)).toBe(true);
    expect(await messages.next()).toEqual({ done: true, value: undefined });
  });
});
