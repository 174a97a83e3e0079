import http2 from 'node:http2';
import { CONNECTION_WINDOW_BYTES, FRAME_BYTES_MAX, STREAM_WINDOW_BYTES } from '../../limits.js';

/**
 * Runs an act that makes an HTTP/2 server, and raises that server's windows: Node's 64 KiB cap an upload at a
 * quarter of its speed, and grpc-js's server has no option for them (grpc/grpc-node#3058). `prepare` is given the
 * server before grpc-js is.
 */
export async function withRaisedWindows<T>(
  act: () => Promise<T>,
  prepare: (server: http2.Http2Server) => void = () => undefined,
): Promise<T> {
  const original = http2.createServer;
  const raised = (options: http2.ServerOptions = {}): http2.Http2Server => {
    const settings = { ...options.settings, initialWindowSize: STREAM_WINDOW_BYTES, maxFrameSize: FRAME_BYTES_MAX };
    const server = original({ ...options, settings });
    server.on('session', (session) => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
    prepare(server);
    return server;
  };
  http2.createServer = raised as typeof http2.createServer;
  try {
    return await act();
  } finally {
    http2.createServer = original;
  }
}
