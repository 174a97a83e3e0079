import { writeFile } from 'node:fs/promises';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { DaemonProcess } from '../../clients/cli/daemon-process.js';
import { MAIN, PROBLEM, RawSave, rowsFrom, TestDaemon } from './wire.js';

/** A daemon with a configuration of its own. */
async function configured(yaml: string): Promise<TestDaemon> {
  const daemon = await TestDaemon.start();
  const file = join(daemon.folder, 'optistore.yaml');
  await writeFile(file, yaml);
  await daemon.process.stop('SIGTERM');
  await daemon.restart('--config', file);
  return daemon;
}

describe('a save stream on which nothing comes', () => {
  test('ends with STREAM_IDLE, its upload stays open, and a client notices nothing', async () => {
    await using daemon = await configured('stream_idle_timeout: 300ms\n');
    const save = new RawSave(daemon.address);
    const open = { key: 'idle', uploadId: 'idle', problem: PROBLEM };
    await save.send({ case: 'open', value: open }).answer('opened');
    save.send({ case: 'batch', value: rowsFrom(0, 3) });
    const error = await save.error();
    expect(error).toMatchObject({ reason: 'STREAM_IDLE', code: 14, metadata: { next_row: '3', upload_id: 'idle' } });

    await using client = createClient({ address: daemon.address });
    const writer = await client.save('slow', PROBLEM);
    for (const row of [0, 1, 2]) {
      await writer.append({ x: [row], label: ['evaluated for an hour'] });
      await writer.flush();
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    expect((await writer.commit()).rowCount).toBe(3n);
  });
});

test('a memory store says that it is volatile, and refuses rows over its limit with MEMORY_LIMIT', async () => {
  const daemon = await TestDaemon.start();
  await daemon.process.stop('SIGTERM');
  const file = join(daemon.folder, 'memory.yaml');
  await writeFile(file, 'primary: { type: memory, max_memory_mb: 1 }\n');
  daemon.process = await DaemonProcess.start(['--config', file, '--listen', '127.0.0.1:0'], MAIN);
  const save = new RawSave(daemon.address);
  const opened = await save.send({ case: 'open', value: { key: 'm', problem: PROBLEM } }).answer('opened');
  expect(opened.volatile).toBe(true);
  for (let row = 0; row < 100_000; row += 20_000) save.send({ case: 'batch', value: rowsFrom(row, 20_000) });
  expect(await save.error()).toMatchObject({ reason: 'MEMORY_LIMIT', code: 8 });
  await daemon[Symbol.asyncDispose]();
});

test('the HTTP/2 windows that the daemon grants are raised, or a save would run at a quarter of its speed', async () => {
  await using daemon = await TestDaemon.start();
  const session = connect(`http://${daemon.address}`);
  await new Promise((resolve) => session.once('remoteSettings', resolve));
  expect(session.remoteSettings.initialWindowSize).toBe(1 << 20);
  expect(session.remoteSettings.maxFrameSize).toBe(256 << 10);
  // The connection's window grows by an update that follows the settings.
  while ((session.state.remoteWindowSize ?? 0) < 4 << 20) await new Promise((resolve) => setTimeout(resolve, 5));
  session.destroy();
});

test('a message that is no SaveResultRequest is refused, and the daemon stays up', async () => {
  await using daemon = await TestDaemon.start();
  const session = connect(`http://${daemon.address}`);
  const call = session.request({
    ':method': 'POST',
    ':path': '/optistore.v1.StorageService/SaveResult',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  call.write(Buffer.from([0, 0, 0, 0, 3, 0xff, 0xff, 0xff]));
  const trailers = await new Promise<Record<string, unknown>>((resolve) => {
    call.on('trailers', (headers: Record<string, unknown>) => resolve(headers));
    call.on('response', (headers) => {
      if (headers['grpc-status'] !== undefined) resolve(headers);
    });
    call.resume();
  });
  expect(trailers['grpc-status']).toBe('3');
  expect(decodeURIComponent(String(trailers['grpc-message']))).toContain('SaveResultRequest');
  session.destroy();
  await using client = createClient({ address: daemon.address });
  expect((await client.getStatus()).streamCount).toBe(0n);
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
