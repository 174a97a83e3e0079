import { type EventEmitter } from 'node:events';
import { constants, type ServerHttp2Session } from 'node:http2';
import type { Server, Socket } from 'node:net';
import type { Logger } from 'pino';
import { CONNECTION_SILENCE_MS, RESETS_AT_ONCE_MAX, RESETS_PER_SECOND_MAX } from '../../limits.js';

/** How the connections of a server are kept in bounds. */
export interface ConnectionLimits {
  /** So many at a time; one more is closed as it comes. */
  readonly connectionsMax: number;
  /** See CONNECTION_SILENCE_MS, its default. */
  readonly silenceMs?: number | undefined;
  readonly log: Logger;
}

/**
 * The connections of a server, HTTP/2 or not: no more than it may have, and none over HTTP/2 whose peer is gone without a
 * word, or begins calls only to break them off.
 *
 * grpc-js pings too, but also behind a GOAWAY, which ends calls that are draining (grpc/grpc-node#3068), and it gives a
 * slow peer that is taking what it was sent no more time than a dead one.
 */
export class Connections {
  private readonly sockets = new Set<Socket>();

  constructor(
    server: Server,
    private readonly limits: ConnectionLimits,
  ) {
    server.maxConnections = limits.connectionsMax;
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    // A session hides its socket, and is made while the server tells of it.
    let arriving: Socket | undefined;
    for (const event of ['connection', 'secureConnection'])
      server.prependListener(event, (socket: Socket) => (arriving = socket));
    // As an emitter of any event: of sessions the type of a plain server knows nothing.
    (server as EventEmitter).on('session', (session: ServerHttp2Session) => {
      if (arriving !== undefined) this.guard(session, arriving);
    });
  }

  /** Closes all that are there, whatever they are at. */
  destroyAll(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  private guard(session: ServerHttp2Session, socket: Socket): void {
    const { silenceMs = CONNECTION_SILENCE_MS, log } = this.limits;
    const peer = `${socket.remoteAddress ?? 'local'}:${socket.remotePort ?? 0}`;
    cutWhenSilent(session, socket, silenceMs);
    const resets = new Resets();
    session.on('stream', (stream) =>
      stream.once('aborted', () => {
        if (session.destroyed || !resets.isOneTooMany()) return;
        log.warn({ peer }, 'cut off: it begins calls and breaks them off, far too often');
        session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
        cut(session, socket);
      }),
    );
  }
}

/** Asks a peer that was silent for a while whether it is there, and lets go of it after as long again without a word. */
function cutWhenSilent(session: ServerHttp2Session, socket: Socket, silenceMs: number): void {
  let heardBytes = 0;
  let isAsked = false;
  const timer = setInterval(() => {
    // A session that is destroyed waits until its peer has read the last byte, for ever.
    if (session.destroyed) socket.destroy();
    else if (socket.bytesRead !== heardBytes) {
      heardBytes = socket.bytesRead;
      isAsked = false;
    } else if (isAsked) cut(session, socket);
    else {
      isAsked = true;
      if (!session.closed) session.ping(() => undefined);
    }
  }, silenceMs).unref();
  session.once('close', () => clearInterval(timer));
}

/** Ends a session and its connection. What it was told last still goes out where there is room for it. */
function cut(session: ServerHttp2Session, socket: Socket): void {
  session.destroy();
  setImmediate(() => socket.destroy());
}

/** Counts calls that are broken off: so many at once, and then so many a second. */
class Resets {
  private left = RESETS_AT_ONCE_MAX;
  private countedMs = performance.now();

  isOneTooMany(): boolean {
    const nowMs = performance.now();
    const regained = ((nowMs - this.countedMs) / 1000) * RESETS_PER_SECOND_MAX;
    this.left = Math.min(this.left + regained, RESETS_AT_ONCE_MAX) - 1;
    this.countedMs = nowMs;
    return this.left < 0;
  }
}
