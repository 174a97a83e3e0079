import { once } from 'node:events';
import {
  fromBinary,
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type Message,
  type MessageShape,
} from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { Client, credentials, Metadata, type ChannelCredentials } from '@grpc/grpc-js';
import { ErrorInfoSchema } from '../../proto/gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '../../proto/gen/google/rpc/status_pb.js';
import { StorageService, type SaveResultRequest } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import {
  CLIENT_KEEPALIVE_ANSWER_MS,
  CLIENT_KEEPALIVE_MS,
  CONNECTION_WINDOW_BYTES,
  MESSAGE_BYTES_MAX,
} from '../../server/limits.js';
import { decodeMessage, encodeMessage, type EncodedMessage } from '../../server/rows/message-codec.js';
import { connectionTo, type Connection, type ConnectionOptions } from './connection.js';
import { isOurs, toOptistoreError, type OptistoreError, type Told } from './errors.js';
import type { Answers, Link, SaveStream } from './link.js';

/** Requests of this size and less are sent again by grpc-js where a connection broke before the daemon saw them. */
const RETRIED_BYTES_MAX = 16 * 1024;

/** A daemon by @grpc/grpc-js. Messages that are encoded go out as they are. */
export class GrpcJsLink implements Link {
  private readonly client: Client;
  private readonly metadata = new Metadata();

  /** OptistoreError: see `connectionTo`. */
  constructor(
    private readonly address: string,
    options: ConnectionOptions = {},
  ) {
    const { tls, authorization } = connectionTo(address, options);
    if (authorization !== undefined) this.metadata.set('authorization', authorization);
    const { everyMs, answerMs } = options.keepalive ?? {};
    this.client = new Client(address, credentialsOf(tls), {
      // Node's own window of 64 KiB caps a load at a quarter of its speed.
      'grpc-node.flow_control_window': CONNECTION_WINDOW_BYTES,
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.use_local_subchannel_pool': 1,
      // What a call may hold back to be sent again by grpc-js itself. A save does that by its acks: of its rows nothing need be held, and
      // small ones are searched through for each that follows.
      'grpc.per_rpc_retry_buffer_size': RETRIED_BYTES_MAX,
      // A proxy of the environment (http_proxy) would read the token and the rows, also of a daemon on this machine.
      'grpc.enable_http_proxy': tls === undefined ? 0 : 1,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2000,
      // A daemon that is gone without a word would be waited for, for ever.
      'grpc.keepalive_time_ms': everyMs ?? CLIENT_KEEPALIVE_MS,
      'grpc.keepalive_timeout_ms': answerMs ?? CLIENT_KEEPALIVE_ANSWER_MS,
    });
  }

  unary<Request extends DescMessage, Response extends DescMessage>(
    method: DescMethodUnary<Request, Response>,
    request: MessageShape<Request>,
  ): Promise<MessageShape<Response>> {
    return new Promise((resolve, reject) => {
      const answered = (error: Error | null, response?: MessageShape<Response>) => {
        if (error !== null) reject(error);
        else resolve(response as MessageShape<Response>);
      };
      const { client, metadata } = this;
      client.makeUnaryRequest(pathOf(method), serializer(method), parser(method), request, metadata, answered);
    });
  }

  read<Request extends DescMessage, Response extends DescMessage>(
    method: DescMethodServerStreaming<Request, Response>,
    request: MessageShape<Request>,
  ): Answers<MessageShape<Response>> {
    const { client, metadata } = this;
    const call = client.makeServerStreamRequest(pathOf(method), serializer(method), parser(method), request, metadata);
    // Who reads is told; without anyone it would end the process.
    return call.on('error', ignored);
  }

  save(): SaveStream {
    const method = StorageService.method.saveResult;
    const serialize: (message: SaveResultRequest | EncodedMessage) => Buffer = serializer(method);
    const call = this.client.makeBidiStreamRequest(pathOf(method), serialize, parser(method), this.metadata);
    const drained = async () => void (await once(call, 'drain'));
    return Object.assign(call.on('error', ignored), { drained });
  }

  explain(error: unknown): OptistoreError {
    return explainGrpcJs(error, this.address);
  }

  close(): void {
    this.client.close();
  }
}

/** What an error of grpc-js means, of a call to an address. */
export function explainGrpcJs(error: unknown, address: string): OptistoreError {
  return toOptistoreError(error, address, told);
}

function told(error: Error): Told | undefined {
  if (!('metadata' in error && error.metadata instanceof Metadata)) return undefined;
  const { code, details, metadata } = error as Error & { code: number; details: string; metadata: Metadata };
  return { code, message: details, info: errorInfo(metadata) };
}

function errorInfo(metadata: Metadata) {
  const [bytes] = metadata.get('grpc-status-details-bin');
  if (!Buffer.isBuffer(bytes)) return undefined;
  const infos = fromBinary(StatusSchema, bytes).details.map((detail) => anyUnpack(detail, ErrorInfoSchema));
  return infos.find((info) => info !== undefined && isOurs(info));
}

function credentialsOf(tls: Connection['tls']): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  return credentials.createSsl(tls.ca ?? null, tls.key ?? null, tls.cert ?? null);
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function serializer(method: DescMethod) {
  return (message: Message | EncodedMessage): Buffer => encodeMessage(method.input, message);
}

function parser<Response extends DescMessage>(method: { readonly output: Response }) {
  return (bytes: Buffer) => decodeMessage(method.output, bytes) as MessageShape<Response>;
}

function ignored(): void {
  // Told to who reads.
}
