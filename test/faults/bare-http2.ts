import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type Settings,
} from 'node:http2';
import { create, toBinary, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';

/** Bytes as gRPC frames them: a flag, their length, and the bytes. */
export function framed(message: Uint8Array, flag = 0, byteLength = message.byteLength): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flag, 0);
  prefix.writeUInt32BE(byteLength, 1);
  return Buffer.concat([prefix, message]);
}

/** A message as gRPC frames it. */
export function framedMessage<Desc extends DescMessage>(schema: Desc, message: MessageInitShape<Desc>): Buffer {
  return framed(toBinary(schema, create(schema, message)));
}

/** A connection of HTTP/2 without a gRPC library, to say what none would. */
export class BareHttp2 implements Disposable {
  readonly session: ClientHttp2Session;

  /** `ca`: with TLS, by this authority. */
  constructor(address: string, settings: Settings = {}, ca?: string) {
    this.session = connect(`${ca === undefined ? 'http' : 'https'}://${address}`, { settings, ...(ca && { ca }) });
    this.session.on('error', () => undefined);
  }

  /** Begins a call; nothing of its answer is read until `answerOf`. */
  call(path: string, headers: Record<string, string> = {}): ClientHttp2Stream {
    const stream = this.session.request({
      ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
      ...headers,
    });
    return stream.on('error', () => undefined);
  }

  [Symbol.dispose](): void {
    this.session.destroy();
  }
}

/** How a call ended. */
export interface BareAnswer {
  /** Of HTTP; undefined when the stream was reset before. */
  readonly status: number | undefined;
  /** Of gRPC; undefined where there is none. */
  readonly grpcStatus: number | undefined;
  readonly message: string | undefined;
  /** Code of the RST_STREAM; 0 when there was none. */
  readonly reset: number | undefined;
}

/** Reads a call's answer to its end. */
export async function answerOf(stream: ClientHttp2Stream): Promise<BareAnswer> {
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  stream.on('response', (got) => (headers = got)).on('trailers', (got: IncomingHttpHeaders) => (trailers = got));
  stream.resume();
  if (!stream.destroyed) await new Promise<void>((resolve) => stream.once('close', resolve));
  const all: IncomingHttpHeaders = { ...headers, ...trailers };
  const code = all['grpc-status'];
  const text = all['grpc-message'];
  return {
    status: headers[':status'] === undefined ? undefined : Number(headers[':status']),
    grpcStatus: code === undefined ? undefined : Number(code),
    message: typeof text === 'string' ? decodeURIComponent(text) : undefined,
    reset: stream.rstCode,
  };
}
