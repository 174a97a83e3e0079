import http2 from 'node:http2';
import { CONNECTION_WINDOW_BYTES, FRAME_BYTES_MAX, STREAM_WINDOW_BYTES } from '../../limits.js';

/** The settings of an HTTP/2 server that takes rows at full speed; its sessions need `raiseConnectionWindow` too. */
export const RAISED_SETTINGS = { initialWindowSize: STREAM_WINDOW_BYTES, maxFrameSize: FRAME_BYTES_MAX } as const;

/** Raises the window of a session that a server was asked for. */
export function raiseConnectionWindow(session: http2.ServerHttp2Session): void {
  session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
}

/**
 * Runs an act that makes an HTTP/2 server, and raises that server's windows: Node's 64 KiB cap an upload at a
 * quarter of its speed, and grpc-js's server has no option for them (grpc/grpc-node#3058). `prepare` is given the
 * server before grpc-js is.
 */
export async function withRaisedWindows<T>(
  act: () => Promise<T>,
  prepare: (server: http2.Http2Server) => void = () => undefined,
): Promise<T> {
  const { createServer, createSecureServer } = http2;
  const raise = <Made extends http2.Http2Server | http2.Http2SecureServer>(server: Made): Made => {
    server.on('session', raiseConnectionWindow);
    prepare(server);
    return server;
  };
  const raised = <Options extends http2.ServerOptions>(options: Options): Options => ({
    ...options,
    settings: { ...options.settings, ...RAISED_SETTINGS },
  });
  http2.createServer = ((options: http2.ServerOptions = {}) =>
    raise(createServer(raised(options)))) as typeof createServer;
  http2.createSecureServer = ((options: http2.SecureServerOptions = {}) =>
    raise(createSecureServer(raised(options)))) as typeof createSecureServer;
  try {
    return await act();
  } finally {
    Object.assign(http2, { createServer, createSecureServer });
  }
}
