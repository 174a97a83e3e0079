import { connect } from 'node:http2';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { PROBLEM, TestDaemon } from './wire.js';

test('the HTTP/2 windows that the daemon grants are raised, or a save would run at a quarter of its speed', async () => {
  await using daemon = await TestDaemon.start();
  const session = connect(`http://${daemon.address}`);
  await new Promise((resolve) => session.once('remoteSettings', resolve));
  expect(session.remoteSettings.initialWindowSize).toBe(512 << 10);
  expect(session.remoteSettings.maxFrameSize).toBe(256 << 10);
  // The connection's window grows by an update that follows the settings.
  while ((session.state.remoteWindowSize ?? 0) < 4 << 20) await new Promise((resolve) => setTimeout(resolve, 5));
  session.destroy();
});

test('a client reaches the daemon over its Unix socket', async () => {
  await using daemon = await TestDaemon.start();
  const socket = join(daemon.folder, 'o.sock');
  await daemon.process.stop('SIGTERM');
  await daemon.restart('--socket', socket);
  await using client = createClient({ address: `unix:${socket}` });
  const writer = await client.save('by-socket', PROBLEM);
  await writer.append({ x: [1, 2], label: ['a', 'b'] });
  await writer.commit();
  expect((await client.load('by-socket').toColumns()).columns['x']?.values).toEqual(Float64Array.of(1, 2));
});
