import { setMaxListeners } from 'node:events';
import type { DescMethod, Message, MessageShape } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, type ClientReadableStream, type Metadata } from '@grpc/grpc-js';
import { StorageService } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import {
  CLIENT_KEEPALIVE_ANSWER_MS,
  CLIENT_KEEPALIVE_MS,
  CONNECTION_WINDOW_BYTES,
  MESSAGE_BYTES_MAX,
} from '../../server/limits.js';
import { decodeMessage, encodeMessage, type EncodedMessage } from '../../server/rows/message-codec.js';
import { MessageMemory } from '../../server/rows/message-memory.js';
import { connectionTo, type ConnectionOptions } from './connection.js';
import { toOptistoreError } from './errors.js';

type Methods = (typeof StorageService)['method'];
type Input<Name extends keyof Methods> = MessageShape<Methods[Name]['input']>;
type Output<Name extends keyof Methods> = MessageShape<Methods[Name]['output']>;

/** Rpcs that answer one request with a stream, but for LoadResult. */
type Streams = 'copyResult' | 'migrateResult' | 'migrateStore' | 'replicateResults' | 'verifyResults' | 'watchResults';

/** Rows are cut and gathered into messages of about this size. */
export const MESSAGE_BYTES = 1024 * 1024;
/** `cutBatch` makes them a tenth larger. What an ack gives back is used again, by whichever save is next. */
const MEMORY = { pieceBytes: MESSAGE_BYTES * 1.25, keptBytes: MESSAGE_BYTES * 12.5 };

/** Requests of this size and less are sent again by grpc-js where a connection broke before the daemon saw them. */
const RETRIED_BYTES_MAX = 16 * 1024;

/** A connection to a daemon, typed by the contract. */
export class Channel {
  /** Of the rows that its saves have sent, until they are acked. */
  readonly memory = new MessageMemory(MEMORY.pieceBytes, MEMORY.keptBytes);
  private readonly client: Client;
  private readonly metadata: Metadata;
  private readonly closing = new AbortController();

  /** `keepalive`: see CLIENT_KEEPALIVE_MS. */
  constructor(
    readonly address: string,
    keepalive = { everyMs: CLIENT_KEEPALIVE_MS, answerMs: CLIENT_KEEPALIVE_ANSWER_MS },
    options: ConnectionOptions = {},
  ) {
    // A client may have many streams, each of which listens.
    setMaxListeners(0, this.closing.signal);
    const { credentials, isEncrypted, metadata } = connectionTo(address, options);
    this.metadata = metadata;
    this.client = new Client(address, credentials, {
      // Node's own window of 64 KiB caps a load at a quarter of its speed.
      'grpc-node.flow_control_window': CONNECTION_WINDOW_BYTES,
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.use_local_subchannel_pool': 1,
      // What a call may hold back to be sent again by grpc-js itself. A save does that by its acks: of its rows nothing need be held, and
      // small ones are searched through for each that follows.
      'grpc.per_rpc_retry_buffer_size': RETRIED_BYTES_MAX,
      // A proxy of the environment (http_proxy) would read the token and the rows, also of a daemon on this machine.
      'grpc.enable_http_proxy': isEncrypted ? 1 : 0,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2000,
      // A daemon that is gone without a word would be waited for, for ever.
      'grpc.keepalive_time_ms': keepalive.everyMs,
      'grpc.keepalive_timeout_ms': keepalive.answerMs,
    });
  }

  /** Calls a unary rpc. OptistoreError. */
  unary<Name extends keyof Methods>(name: Name, request: Input<Name>): Promise<Output<Name>> {
    const method: DescMethod = StorageService.method[name];
    return new Promise((resolve, reject) => {
      const answered = (error: Error | null, response?: unknown) => {
        if (error !== null) reject(toOptistoreError(error, this.address));
        else resolve(response as Output<Name>);
      };
      const { metadata } = this;
      this.client.makeUnaryRequest(pathOf(method), serializer(method), parser(method), request, metadata, answered);
    });
  }

  /** Begins a load. */
  load(request: Input<'loadResult'>): ClientReadableStream<Output<'loadResult'>> {
    const method = StorageService.method.loadResult;
    return this.client.makeServerStreamRequest(
      pathOf(method),
      serializer(method),
      parser(method) as (bytes: Buffer) => Output<'loadResult'>,
      request,
      this.metadata,
    );
  }

  /** Calls an rpc that answers with a stream. OptistoreError. Left early, or when the channel is closed, it is cancelled. */
  async *stream<Name extends Streams>(name: Name, request: Input<Name>): AsyncGenerator<Output<Name>> {
    const method: DescMethod = StorageService.method[name];
    const { client, metadata } = this;
    const call = client.makeServerStreamRequest(pathOf(method), serializer(method), parser(method), request, metadata);
    const cancel = () => call.cancel();
    this.closing.signal.addEventListener('abort', cancel, { once: true });
    try {
      for await (const response of call) yield response as Output<Name>;
    } catch (error) {
      throw toOptistoreError(error, this.address);
    } finally {
      this.closing.signal.removeEventListener('abort', cancel);
      cancel();
    }
  }

  /** Begins a save. */
  save(): ClientDuplexStream<Input<'saveResult'> | EncodedMessage, Output<'saveResult'>> {
    const method = StorageService.method.saveResult;
    return this.client.makeBidiStreamRequest(
      pathOf(method),
      serializer(method),
      parser(method) as (bytes: Buffer) => Output<'saveResult'>,
      this.metadata,
    );
  }

  /** Whether it was closed: nothing can be called any more. */
  get isClosed(): boolean {
    return this.closing.signal.aborted;
  }

  /** Ends streams that are read, but for loads and saves, and takes no more calls. */
  close(): void {
    this.closing.abort();
    this.client.close();
  }
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function serializer(method: DescMethod) {
  return (message: unknown): Buffer => encodeMessage(method.input, message as Message | EncodedMessage);
}

function parser(method: DescMethod) {
  return (bytes: Buffer): unknown => decodeMessage(method.output, bytes);
}
