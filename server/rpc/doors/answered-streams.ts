import { constants, type ServerHttp2Stream } from 'node:http2';

/** How long a peer whose call is answered may take to read that while it sends on. */
const REST_MS = 1000;

/**
 * Closes a stream some time after its answer has gone out, where its peer does not: nobody reads what it still sends, and what
 * came of it stays in memory. Reset at once, the stream would lose the trailers that say why.
 */
export function closeWhenAnswered(stream: ServerHttp2Stream): void {
  stream.once('finish', () => {
    if (stream.closed || stream.destroyed) return;
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), REST_MS).unref();
    stream.once('close', () => clearTimeout(timer));
  });
}

/** Ends a stream, whatever it is at; one that was not answered learns that it was too much. */
export function cutStream(stream: ServerHttp2Stream): void {
  const { NGHTTP2_NO_ERROR, NGHTTP2_ENHANCE_YOUR_CALM } = constants;
  if (!stream.closed) stream.close(stream.writableFinished ? NGHTTP2_NO_ERROR : NGHTTP2_ENHANCE_YOUR_CALM);
  stream.destroy();
}
