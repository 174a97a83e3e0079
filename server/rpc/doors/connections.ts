import type { Http2Server, ServerHttp2Session } from 'node:http2';
import { CONNECTIONS_MAX, CONNECTION_SILENCE_MS } from '../../limits.js';

/**
 * Keeps a server's connections in bounds: no more than CONNECTIONS_MAX, and none whose peer is gone without a word.
 * grpc-js pings too, but also behind a GOAWAY, which ends calls that are draining (grpc/grpc-node#3068), and it gives a
 * slow peer that is taking what it was sent no more time than a dead one.
 */
export function guardConnections(server: Http2Server, silenceMs = CONNECTION_SILENCE_MS): void {
  server.maxConnections = CONNECTIONS_MAX;
  server.on('session', (session) => endWhenSilent(session, silenceMs));
}

/** Asks a peer that was silent for a while whether it is there, and lets go of it after as long again without a word. */
function endWhenSilent(session: ServerHttp2Session, silenceMs: number): void {
  const { socket } = session;
  let heardBytes = 0;
  let isAsked = false;
  const timer = setInterval(() => {
    // Between its end and its `close` a session's socket can't be asked.
    if (session.destroyed) return;
    if (socket.bytesRead !== heardBytes) {
      heardBytes = socket.bytesRead;
      isAsked = false;
    } else if (isAsked) session.destroy();
    else {
      isAsked = true;
      if (!session.closed) session.ping(() => undefined);
    }
  }, silenceMs).unref();
  session.on('close', () => clearInterval(timer));
}
