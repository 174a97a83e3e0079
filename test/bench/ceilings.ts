import { fork } from 'node:child_process';
import { once } from 'node:events';
import { open, unlink } from 'node:fs/promises';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rates, report } from './figures.js';

const MIB = 1024 * 1024;
const WINDOW = 8 * MIB;
const CHUNK = Buffer.alloc(MIB, 7);

/** What the disk gives: appends, and a fdatasync each 8 MiB. MB/s. */
export async function measureDisk(folder: string, bytes: number, times: number): Promise<number> {
  const paths: string[] = [];
  const measured = await rates(times, bytes / 1e6, async () => {
    // A new file each time, as the daemon has one for each upload: pages of a file just removed would be had sooner.
    const path = join(folder, `ceiling-${paths.length}`);
    paths.push(path);
    const file = await open(path, 'w');
    for (let at = 0; at < bytes; at += MIB) {
      await file.write(CHUNK, 0, MIB, at);
      if ((at / MIB) % 8 === 7) await file.datasync();
    }
    await file.datasync();
    await file.close();
  });
  for (const path of paths) await unlink(path);
  return report('ceiling: append + fdatasync each 8 MiB', measured, 'MB/s');
}

/** What the wire gives: HTTP/2 over loopback between two processes, windows raised. MB/s up and down. */
export async function measureWire(bytes: number, times: number): Promise<{ up: number; down: number }> {
  const server = fork(fileURLToPath(import.meta.url), { stdio: 'inherit' });
  const [port] = (await once(server, 'message')) as [number];
  const session = http2.connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: WINDOW } });
  session.on('connect', () => session.setLocalWindowSize(WINDOW));
  await once(session, 'connect');
  try {
    const up = await rates(times, bytes / 1e6, async () => {
      const stream = session.request({ ':method': 'POST' });
      for (let at = 0; at < bytes; at += MIB) if (!stream.write(CHUNK)) await once(stream, 'drain');
      stream.end();
      stream.resume();
      await once(stream, 'end');
    });
    const down = await rates(times, bytes / 1e6, async () => {
      const stream = session.request({ ':path': `/${bytes}` });
      stream.resume();
      await once(stream, 'end');
    });
    return {
      up: report('ceiling: raw HTTP/2 upload over loopback', up, 'MB/s'),
      down: report('ceiling: raw HTTP/2 download over loopback', down, 'MB/s'),
    };
  } finally {
    session.destroy();
    server.kill();
  }
}

/** The other end of the wire, in a process of its own. */
async function serveWire(): Promise<void> {
  const server = http2.createServer({ settings: { initialWindowSize: WINDOW } });
  server.on('session', (session) => session.setLocalWindowSize(WINDOW));
  server.on('stream', (stream, headers) => {
    stream.respond({ ':status': 200 });
    if (headers[':method'] === 'POST') {
      stream.resume().on('end', () => stream.end());
      return;
    }
    void (async () => {
      const bytes = Number((headers[':path'] ?? '/0').slice(1));
      for (let at = 0; at < bytes; at += MIB) if (!stream.write(CHUNK)) await once(stream, 'drain');
      stream.end();
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.send?.((server.address() as AddressInfo).port);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serveWire();
