import { connect as connectTcp, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathOf } from '../rpc/wire.js';
import { connect as connectTls } from 'node:tls';

/** How each HTTP/2 connection of a client begins. */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** Types of frames. */
export const FRAME = {
  ...{ data: 0, headers: 1, reset: 3, settings: 4, ping: 6, windowUpdate: 8, continuation: 9 },
} as const;
/** That a HEADERS frame is whole; that nothing follows it. */
export const END_HEADERS = 4;
export const END_STREAM = 1;

/** A frame of HTTP/2. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.byteLength, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** The settings of a client that wants all as it is. */
export const SETTINGS = frame(FRAME.settings, 0, 0);

/** Settings and an update that open both windows so wide that nothing waits for them. */
export function openWindows(): Buffer {
  const [setting, update] = [Buffer.alloc(6), Buffer.alloc(4)];
  // SETTINGS_INITIAL_WINDOW_SIZE
  setting.writeUInt16BE(4);
  setting.writeUInt32BE(2 ** 30, 2);
  update.writeUInt32BE(2 ** 30);
  return Buffer.concat([frame(FRAME.settings, 0, 0, setting), frame(FRAME.windowUpdate, 0, 0, update)]);
}

/** So many bytes of the same, one behind the other. */
export function many(bytes: Buffer, count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => bytes));
}

/** Headers as HPACK, without Huffman or a table: `name`, `value`. */
export function hpack(headers: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string) => {
    const bytes = Buffer.from(value);
    return bytes.byteLength < 127
      ? Buffer.concat([Buffer.of(bytes.byteLength), bytes])
      : Buffer.concat([Buffer.of(127, ((bytes.byteLength - 127) & 127) | 128, (bytes.byteLength - 127) >> 7), bytes]);
  };
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

/** The headers of a gRPC call at an address. */
export function callHeaders(rpc: string, address: string): Buffer {
  return hpack([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', pathOf({ name: rpc })],
    [':authority', address],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
  ]);
}

/** Where to connect, and with which authority's certificate: none is no TLS. */
export interface Target {
  readonly address: string;
  readonly ca?: string | undefined;
}

/** A connection of bytes alone; what comes is thrown away. */
export async function rawConnection({ address, ca }: Target): Promise<Socket> {
  const at = address.lastIndexOf(':');
  const to = { host: address.slice(0, at), port: Number(address.slice(at + 1)) };
  const socket = ca === undefined ? connectTcp(to) : connectTls({ ...to, ca, ALPNProtocols: ['h2'] });
  socket.on('error', () => undefined).resume();
  const isThere = new Promise((resolve) => socket.once(ca === undefined ? 'connect' : 'secureConnect', resolve));
  await Promise.race([isThere, closeOf(socket)]);
  return socket;
}

/** The end of a connection, however it comes. */
export function closeOf(socket: Socket): Promise<true> {
  return new Promise((resolve) => (socket.destroyed ? resolve(true) : socket.once('close', () => resolve(true))));
}

/** What becomes of a flood: whether the daemon closed the connection, and how many times it was sent to before. */
export interface Flooded {
  readonly isCut: boolean;
  readonly times: number;
}

/**
 * Sends frames, a number at a time, until the daemon closes the connection or they were sent so many times. `waitMs`: for
 * so long the daemon may then take to close it, for it may be behind with reading.
 */
export async function flood(
  target: Target,
  frames: (time: number) => Buffer,
  times: number,
  { first = SETTINGS, waitMs = 1000 } = {},
): Promise<Flooded> {
  const socket = await rawConnection(target);
  const closed = closeOf(socket);
  socket.write(Buffer.concat([PREFACE, first]));
  let time = 0;
  for (; time < times && !socket.destroyed; time++) {
    // What the daemon does not read waits; it may have stopped reading for good.
    if (!socket.write(frames(time)))
      await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed, sleep(waitMs)]);
    if (socket.writableNeedDrain && !socket.destroyed) break;
  }
  const isCut = socket.destroyed || (await Promise.race([closed, sleep(waitMs).then(() => false)]));
  socket.destroy();
  return { isCut, times: time };
}
