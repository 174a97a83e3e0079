import { once } from 'node:events';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { expect, test } from 'vitest';
import { StorageService } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { DaemonProcess, freePort } from '../../../clients/cli/daemon-process.js';
import { untilStill } from '../processes.js';
import { saveRun } from '../raw-load.js';
import { floatRun, floats } from '../sample-runs.js';
import { MAIN, TestDaemon } from '../wire.js';
import { until } from '../../cli/cli.js';
import { ask, failureOf, infoOf, post, rawSocket, webAddress, webClients } from './web-daemon.js';

test('streams are told SHUTTING_DOWN when the daemon stops, and it ends with 0 though the connections stay', async () => {
  await using daemon = await TestDaemon.start('--web', '127.0.0.1:0');
  const web = webAddress(daemon);
  // One that is idle, and one with half a request.
  const [idle, half] = [await rawSocket(web), await rawSocket(web)];
  half.write('GET /healthz HTTP/1.1\r\n');
  const ended = [idle, half].map((socket) => once(socket.resume(), 'close'));
  const failures = Object.values(webClients(web)).map(async (client) => {
    const watched = client.watchResults({})[Symbol.asyncIterator]();
    await watched.next();
    return { failure: failureOf({ [Symbol.asyncIterator]: () => watched }) };
  });
  const watching = await Promise.all(failures);
  const stopped = daemon.process.stop('SIGTERM');
  for (const { failure } of watching) expect(infoOf(await failure)?.reason).toBe('SHUTTING_DOWN');
  expect(await stopped).toBe(0);
  await Promise.all(ended);
});

test('while it stops, /healthz is 503, and new calls are refused, until the last stream has ended', async () => {
  await using daemon = await TestDaemon.start('--web', '127.0.0.1:0');
  const web = webAddress(daemon);
  await saveRun(daemon.address, 'big', floats(64), floatRun(64, 64 * 1024), 2048);
  const transport = createConnectTransport({ baseUrl: `http://${web}`, httpVersion: '1.1' });
  const loading = createClient(StorageService, transport).loadResult({ key: 'big' })[Symbol.asyncIterator]();
  // The header and a batch. Nobody reads on: the load can't end, and holds the daemon once nothing more fits.
  for (let i = 0; i < 2; i++) await loading.next();
  await untilStill(daemon.process.pid);
  const stopped = daemon.process.stop('SIGTERM');
  await until(async () => (await ask(web, '/healthz')).status === 503);
  const refused = await post(web, StorageService.method.getStatus, {});
  expect([refused.status, refused.body.includes('"reason":"SHUTTING_DOWN"')]).toEqual([503, true]);
  // It reads on, and is told where to go on.
  const error = await failureOf({ [Symbol.asyncIterator]: () => loading });
  expect(infoOf(error)?.reason).toBe('SHUTTING_DOWN');
  expect(Number(infoOf(error)?.metadata['next_row'])).toBeGreaterThan(0);
  expect(await stopped).toBe(0);
});

test('who reads nothing holds a daemon that stops for 10 s at most', async () => {
  await using daemon = await TestDaemon.start('--web', '127.0.0.1:0');
  const web = webAddress(daemon);
  await saveRun(daemon.address, 'big', floats(64), floatRun(64, 64 * 1024), 2048);
  const transport = createConnectTransport({ baseUrl: `http://${web}`, httpVersion: '1.1' });
  const loading = createClient(StorageService, transport).loadResult({ key: 'big' })[Symbol.asyncIterator]();
  await loading.next();
  expect(await daemon.process.stop('SIGTERM')).toBe(0);
  await loading.return?.();
});

test('a web port that is taken ends the daemon with a word of what to do, and leaves nothing behind', async () => {
  await using daemon = await TestDaemon.start('--web', '127.0.0.1:0');
  const web = webAddress(daemon);
  const grpc = `127.0.0.1:${await freePort()}`;
  const flags = ['--path', `${daemon.folder}/other`, '--listen', grpc];
  await expect(DaemonProcess.start([...flags, '--web', web], MAIN)).rejects.toThrow(
    new RegExp(`the daemon ended with 1: [^]*${web}[^]*EADDRINUSE[^]*--web off`),
  );
  await using second = await DaemonProcess.start([...flags, '--web', 'off'], MAIN);
  expect(second.log.join()).not.toContain('"web"');
});
