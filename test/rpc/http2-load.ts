import { once } from 'node:events';
import { connect, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2';
import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { ErrorInfoSchema, type ErrorInfo } from '../../proto/gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '../../proto/gen/google/rpc/status_pb.js';
import type { LoadResultResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { LoadResultRequestSchema, LoadResultResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';

const PREFIX_BYTES = 5;

/**
 * A load by HTTP/2 alone, which takes all that the daemon sends before an error. grpc-js gives the error at once and
 * drops up to 16 messages that came ahead of it and wait to be read.
 */
export class Http2Load {
  private readonly session: ClientHttp2Session;
  private readonly stream: ClientHttp2Stream;
  private readonly trailers: Promise<[IncomingHttpHeaders]>;
  private readonly chunks: AsyncIterator<Buffer>;
  private waiting = Buffer.alloc(0);

  constructor(address: string, request: MessageInitShape<typeof LoadResultRequestSchema>) {
    this.session = connect(`http://${address}`);
    this.session.on('error', () => undefined);
    this.stream = this.session.request({
      ...{ ':method': 'POST', ':path': '/optistore.v1.StorageService/LoadResult' },
      ...{ 'content-type': 'application/grpc', te: 'trailers' },
    });
    this.trailers = once(this.stream, 'trailers') as Promise<[IncomingHttpHeaders]>;
    this.trailers.catch(() => undefined);
    this.chunks = (this.stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    const message = toBinary(LoadResultRequestSchema, create(LoadResultRequestSchema, request));
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(message.byteLength, 1);
    this.stream.end(Buffer.concat([prefix, message]));
  }

  /** The next message; undefined at the end. */
  async next(): Promise<LoadResultResponse | undefined> {
    for (;;) {
      const end = this.waiting.byteLength < PREFIX_BYTES ? Infinity : PREFIX_BYTES + this.waiting.readUInt32BE(1);
      if (this.waiting.byteLength >= end) {
        const message = fromBinary(LoadResultResponseSchema, this.waiting.subarray(PREFIX_BYTES, end));
        this.waiting = this.waiting.subarray(end);
        return message;
      }
      const chunk = await this.chunks.next();
      if (chunk.done === true) return undefined;
      this.waiting = Buffer.concat([this.waiting, chunk.value]);
    }
  }

  /** The status that it ended with. */
  async status(): Promise<{ code: number; info: ErrorInfo | undefined }> {
    const [trailers] = await this.trailers;
    const details = trailers['grpc-status-details-bin'];
    const status = fromBinary(StatusSchema, Buffer.from(typeof details === 'string' ? details : '', 'base64'));
    const [info] = status.details.map((detail) => anyUnpack(detail, ErrorInfoSchema));
    return { code: Number(trailers['grpc-status']), info };
  }

  close(): void {
    this.session.destroy();
  }
}
