/** What the machine gives without optistore. Each is measured beside what it bounds, in turn with it. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { open, rm, unlink } from 'node:fs/promises';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Measured } from './figures.js';

const MIB = 1024 * 1024;
const WINDOW = 8 * MIB;
const CHUNK = Buffer.alloc(MIB, 7);

/** Figures of the machine, which others name as their ceiling. */
export const CEILINGS = {
  disk: { id: 'ceiling_disk', what: 'append + fdatasync each 8 MiB', unit: 'MB/s' },
  up: { id: 'ceiling_http2_up', what: 'raw HTTP/2 upload', unit: 'MB/s' },
  down: { id: 'ceiling_http2_down', what: 'raw HTTP/2 download', unit: 'MB/s' },
  smallFiles: { id: 'ceiling_small_files', what: 'a file and an fsync each', unit: 'MB/s' },
  syncedRows: { id: 'ceiling_synced_rows', what: 'append + fdatasync each row', unit: 'rows/s' },
} satisfies Record<string, Measured>;

/** Appends bytes to a new file, which is removed afterwards, and makes them durable each 8 MiB. */
export async function appendToDisk(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'wx');
  try {
    for (let at = 0; at < bytes; at += MIB) {
      await file.write(CHUNK, 0, MIB, at);
      if ((at / MIB) % 8 === 7) await file.datasync();
    }
    await file.datasync();
  } finally {
    await file.close();
    await unlink(path);
  }
}

/** Writes small files one after the other, each durable before the next. */
export async function writeSmallFiles(folder: string, count: number, bytes: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const file = await open(join(folder, `small-${i}`), 'wx');
    await file.write(CHUNK, 0, bytes, 0);
    await file.sync();
    await file.close();
  }
}

/** Appends rows to a file, each durable before the next. */
export async function appendRows(path: string, count: number, bytes: number): Promise<void> {
  const file = await open(path, 'w');
  for (let i = 0; i < count; i++) {
    await file.write(CHUNK, 0, bytes, i * bytes);
    await file.datasync();
  }
  await file.close();
  await rm(path);
}

/** HTTP/2 over loopback between two processes, with windows raised, and nothing done with the bytes. */
export class Wire implements AsyncDisposable {
  private constructor(
    private readonly session: http2.ClientHttp2Session,
    private readonly close: () => void,
  ) {}

  static async open(): Promise<Wire> {
    const server = fork(fileURLToPath(import.meta.url), { stdio: 'inherit' });
    const [port] = (await once(server, 'message')) as [number];
    const session = http2.connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: WINDOW } });
    session.on('connect', () => session.setLocalWindowSize(WINDOW));
    await once(session, 'connect');
    return new Wire(session, () => {
      session.destroy();
      server.kill();
    });
  }

  async upload(bytes: number): Promise<void> {
    const stream = this.session.request({ ':method': 'POST' });
    for (let at = 0; at < bytes; at += MIB) if (!stream.write(CHUNK)) await once(stream, 'drain');
    stream.end();
    stream.resume();
    await once(stream, 'end');
  }

  async download(bytes: number): Promise<void> {
    const stream = this.session.request({ ':path': `/${bytes}` });
    stream.resume();
    await once(stream, 'end');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
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
