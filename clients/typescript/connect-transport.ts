import { connect as connectSocket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ClientHttp2Stream, Http2Session, SecureClientSessionOptions } from 'node:http2';
import type { Interceptor, Transport } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import {
  CLIENT_KEEPALIVE_ANSWER_MS,
  CLIENT_KEEPALIVE_MS,
  CONNECTION_WINDOW_BYTES,
  MESSAGE_BYTES_MAX,
} from '../../server/limits.js';
import { addressOf, connectionTo, type Connection, type DaemonOptions } from './connection.js';
import { GrpcCode, OptistoreError } from './errors.js';

export type { ConnectionOptions, DaemonOptions, TlsOptions } from './connection.js';

/** Which daemon, how to connect to it, and what sees each call. */
export interface ConnectTransportOptions extends DaemonOptions {
  /** Connect's: they see each request with its token, and each answer. Rows that are sent lie in memory that is used again once they are acked. */
  readonly interceptors?: readonly Interceptor[] | undefined;
}

/** A Transport to a daemon. */
export interface DaemonTransport extends Transport, Disposable {
  readonly address: string;
  /** Closes its connection; calls that are under way fail. Without it the connection is closed when it was idle for 15 minutes; it keeps no process alive. */
  close(): void;
}

const UNIX = 'unix:';
/** Whose certificate is asked for at a Unix socket, as grpc-js does. */
const UNIX_HOST = 'localhost';
/** No user, path or query, which a URL would read as such. */
const HOST_AND_PORT = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+):\d+$/i;

/**
 * Makes a Transport of Connect to a daemon: gRPC over one HTTP/2 connection, from the same options as `createClient`. It goes through no
 * proxy. OptistoreError where a token would go over the network unencrypted, a file can't be read, or the address is none.
 * @example
 * using transport = connectTransport({ address: '127.0.0.1:50051' });
 * await using client = createClient({ transport });
 */
export function connectTransport(options: ConnectTransportOptions = {}): DaemonTransport {
  const address = addressOf(options);
  const connection = connectionTo(address, options);
  const baseUrl = urlOf(address, connection);
  const { everyMs, answerMs } = options.keepalive ?? {};
  const keepalive = {
    pingIntervalMs: everyMs ?? CLIENT_KEEPALIVE_MS,
    pingTimeoutMs: answerMs ?? CLIENT_KEEPALIVE_ANSWER_MS,
  };
  const sessionManager = new RowSessions(baseUrl, keepalive, sessionOptions(address, connection));
  const transport = createGrpcTransport({
    ...{ baseUrl, sessionManager },
    // Rows are numbers: they cost more time to compress than to send.
    acceptCompression: [],
    readMaxBytes: MESSAGE_BYTES_MAX,
    writeMaxBytes: MESSAGE_BYTES_MAX,
    interceptors: [authorizing(connection), ...(options.interceptors ?? [])],
  });
  const close = () => sessionManager.abort();
  return { ...transport, address, close, [Symbol.dispose]: close };
}

/** Sessions as rows need them. */
class RowSessions extends Http2SessionManager {
  private readonly prepared = new WeakSet<Http2Session>();

  override async request(...call: Parameters<Http2SessionManager['request']>): Promise<ClientHttp2Stream> {
    const stream = await super.request(...call);
    const { session } = stream;
    if (session !== undefined && !this.prepared.has(session)) {
      this.prepared.add(session);
      // Node's own window of 64 KiB caps a load at a quarter of its speed.
      session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
      // Connect listens no more once it has a new session; what the old one then says would end the process.
      session.on('error', () => undefined);
    }
    return stream;
  }
}

function urlOf(address: string, { tls }: Connection): string {
  const scheme = tls === undefined ? 'http' : 'https';
  if (address.startsWith(UNIX)) return `${scheme}://${UNIX_HOST}`;
  if (HOST_AND_PORT.test(address)) return `${scheme}://${address}`;
  const message = `${address} is no address: it has the form host:port or unix:PATH.`;
  throw new OptistoreError(message, GrpcCode.FAILED_PRECONDITION, undefined, {});
}

function sessionOptions(address: string, { tls }: Connection): SecureClientSessionOptions {
  const options = {
    settings: { initialWindowSize: CONNECTION_WINDOW_BYTES, enablePush: false },
    // As grpc-js: a session that comes to Node's limit of 10 MB fails its calls instead of slowing them down.
    maxSessionMemory: Number.MAX_SAFE_INTEGER,
    ...tls,
  };
  if (!address.startsWith(UNIX)) return options;
  const path = address.slice(UNIX.length);
  return {
    ...options,
    createConnection: () =>
      tls === undefined
        ? connectSocket(path)
        : connectTls({ ...tls, path, ALPNProtocols: ['h2'], servername: UNIX_HOST }),
  };
}

function authorizing({ authorization }: Connection): Interceptor {
  return (next) => (request) => {
    if (authorization !== undefined) request.header.set('authorization', authorization);
    return next(request);
  };
}
