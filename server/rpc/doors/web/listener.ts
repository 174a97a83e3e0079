import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import type { SecureContextOptions } from 'node:tls';
import { StorageError } from '../../../errors.js';
import {
  REQUEST_MS_MAX,
  STREAMS_PER_CONNECTION_MAX,
  WEB_CHECK_MS,
  WEB_CONNECTIONS_MAX,
  WEB_HEADER_BYTES_MAX,
  WEB_HEADERS_MS_MAX,
  WEB_IDLE_MS_MAX,
} from '../../../limits.js';
import { closeWhenAnswered } from '../answered-streams.js';
import type { SecureOptions } from '../certificates.js';
import { Connections, type ConnectionLimits } from '../connections.js';
import type { DoorLimits } from '../door.js';
import { RAISED_SETTINGS, raiseConnectionWindow } from '../http2-windows.js';
import { ReceiveRoom, type StreamRoom } from '../receive-room.js';
import { bodyFormOf } from './request-body.js';

export type WebRequest = IncomingMessage | Http2ServerRequest;
export type WebResponse = ServerResponse | Http2ServerResponse;

/** Serves a request to its end. */
export type Serve = (request: WebRequest, response: WebResponse, room: StreamRoom) => void;

type Listener = (request: WebRequest, response: WebResponse) => void;

/** What a listener is made with. */
export interface WebListenerOptions extends DoorLimits, Pick<ConnectionLimits, 'log'> {}

/** An HTTP server: 1.1 in the clear; with a certificate 1.1 and 2, by ALPN. */
export class WebListener {
  private readonly server: Server | Http2SecureServer;
  private readonly connections: Connections;
  private readonly room: ReceiveRoom;
  private readonly sessions = new Set<ServerHttp2Session>();
  /** Answers that are not ended yet. */
  private readonly open = new Set<WebResponse>();
  /** HTTP/1.1 connections with a request that is not answered yet. */
  private readonly busy = new WeakSet<object>();
  private whenIdle: () => void = () => undefined;
  private readonly idleMs: number;

  constructor(serve: Serve, secure: SecureOptions | undefined, options: WebListenerOptions) {
    const { log, connectionSilenceMs: silenceMs, requestMsMax = REQUEST_MS_MAX } = options;
    this.idleMs = options.connectionIdleMs ?? WEB_IDLE_MS_MAX;
    this.room = new ReceiveRoom(options.room);
    const listener: Listener = (request, response) => this.served(serve, request, response);
    this.server = secure === undefined ? createServer(PROBED, listener) : secureServer(secure, listener);
    // As properties, which both kinds of server go by: HTTP/1.1 over TLS knows no options for them.
    Object.assign(this.server, LIMITS, {
      requestTimeout: requestMsMax,
      // Node gives a request the longer of both.
      headersTimeout: Math.min(requestMsMax, WEB_HEADERS_MS_MAX),
      keepAliveTimeout: this.idleMs,
    });
    this.connections = new Connections(this.server, { connectionsMax: WEB_CONNECTIONS_MAX, silenceMs, log });
    this.server.on('session', (session: ServerHttp2Session) => this.began(session));
  }

  /** Listens on `host:port`; gives the address as bound. REQUEST_INVALID where that can't be had. */
  async listen(address: string): Promise<string> {
    const at = address.lastIndexOf(':');
    const host = address.slice(0, at);
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (error: Error) => reject(cannotListen(address, error)));
      this.server.listen(Number(address.slice(at + 1)), host.replace(/^\[|\]$/g, ''), resolve);
    });
    const bound = this.server.address();
    return `${host}:${typeof bound === 'object' && bound !== null ? bound.port : 0}`;
  }

  /** Takes another certificate, for connections that come from now on. Those that are there keep theirs. */
  replaceSecureContext(secure: SecureContextOptions): void {
    if ('setSecureContext' in this.server) this.server.setSecureContext(secure);
  }

  /** Waits until nothing is open, but not beyond a time; then closes all. */
  async close(waitMs: number): Promise<void> {
    const idle = new Promise<void>((resolve) => (this.whenIdle = resolve));
    if (this.open.size > 0) await within(waitMs, idle);
    this.server.close();
    // What they have been told is on its way: a session says goodbye behind it.
    const parted = [...this.sessions].map((session) => new Promise<void>((resolve) => session.close(resolve)));
    await within(GOODBYE_MS, Promise.all(parted));
    this.connections.destroyAll();
  }

  private served(serve: Serve, request: WebRequest, response: WebResponse): void {
    this.open.add(response);
    response.once('close', () => {
      this.open.delete(response);
      if (this.open.size === 0) this.whenIdle();
    });
    response.on('error', () => undefined);
    if ('stream' in request) {
      closeWhenAnswered(request.stream);
      serve(request, response, this.room.admitHttp2(request.stream, isEnveloped(request)));
    } else {
      const { socket } = request;
      // Answers that wait behind another are not told when the client goes, and nobody limits their number.
      if (this.busy.has(socket)) return void socket.destroy();
      this.busy.add(socket);
      response.once('close', () => this.busy.delete(socket));
      const stream = { connection: socket, isEnveloped: isEnveloped(request), ended: response };
      serve(request, response, this.room.admit(request, { ...stream, cut: () => socket.destroy() }));
    }
  }

  private began(session: ServerHttp2Session): void {
    raiseConnectionWindow(session);
    this.sessions.add(session);
    session.once('close', () => this.sessions.delete(session));
    session.on('error', () => undefined);
    // Closing waits for streams that are open.
    session.setTimeout(this.idleMs, () => session.close());
  }
}

function isEnveloped({ headers }: WebRequest): boolean {
  return bodyFormOf(headers['content-type'] ?? '')?.isEnveloped === true;
}

const LIMITS = {
  maxHeaderSize: WEB_HEADER_BYTES_MAX,
  connectionsCheckingInterval: WEB_CHECK_MS,
};
/** A peer that is gone without a word is noticed. */
const PROBED = { keepAlive: true, keepAliveInitialDelay: WEB_IDLE_MS_MAX };
/** How long sessions may take to say goodbye. */
const GOODBYE_MS = 500;

function secureServer(secure: SecureOptions, listener: Listener): Http2SecureServer {
  const settings = {
    ...RAISED_SETTINGS,
    maxConcurrentStreams: STREAMS_PER_CONNECTION_MAX,
    maxHeaderListSize: WEB_HEADER_BYTES_MAX,
  };
  return createSecureServer(
    { ...PROBED, ...secure, allowHTTP1: true, handshakeTimeout: WEB_HEADERS_MS_MAX, settings },
    listener,
  );
}

function cannotListen(address: string, cause: Error): StorageError {
  return new StorageError(
    'REQUEST_INVALID',
    `Can't listen on ${address} for the web: ${cause.message}. Is another program there? Choose another with --web, or --web off.`,
    { cause },
  );
}

async function within(ms: number, done: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([done, new Promise((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
}
