import { setMaxListeners, type EventEmitter } from 'node:events';
import { unlink } from 'node:fs/promises';
import type { Http2Server } from 'node:http2';
import type { Readable } from 'node:stream';
import type { DescMethod, Message } from '@bufbuild/protobuf';
import {
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { file_google_rpc_error_details } from '../../../proto/gen/google/rpc/error_details_pb.js';
import { file_grpc_health_v1_health } from '../../../proto/gen/grpc/health/v1/health_pb.js';
import { file_optistore_v1_errors } from '../../../proto/gen/optistore/v1/errors_pb.js';
import { StorageService } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { StorageError } from '../../errors.js';
import {
  CONNECTION_IDLE_MS,
  CONNECTIONS_MAX,
  DRAIN_MS_MAX,
  LOAD_BATCH_BYTES_MAX,
  MESSAGE_BYTES_MAX,
  STREAMS_PER_CONNECTION_MAX,
} from '../../limits.js';
import type { CallContext, StorageServiceHandlers } from '../service.js';
import { closeWhenAnswered } from './answered-streams.js';
import { limitCalls, type OpenedStream, type Received } from './call-limits.js';
import { ReloadedCredentials, type Certificates } from './certificates.js';
import { Connections } from './connections.js';
import { decodeRequest } from './decode-request.js';
import { serviceDefinition } from './definition.js';
import type { Door, DoorLimits } from './door.js';
import { ServicesHealth } from './health.js';
import { withRaisedWindows } from './http2-windows.js';
import { writeAtPace } from './paced-answers.js';
import { ReceiveRoom } from './receive-room.js';
import { addReflection } from './reflection.js';
import { ServedCall, type Surroundings } from './served-call.js';
import { toStatus } from './status.js';
import { bindPrivately, freeSocketPath, refuseOtherUsers } from './unix-socket.js';

/** How the gRPC door is opened. */
export interface GrpcDoorOptions extends DoorLimits {
  readonly handlers: StorageServiceHandlers;
  /** `host:port`, port 0 takes any that is free; or `unix:PATH`, for this user alone. */
  readonly listen: string;
  /** With it: TLS. */
  readonly certificates?: Certificates | undefined;
  readonly log: Logger;
  /** A stream of answers of which nothing is read for this long ends with STREAM_IDLE. */
  readonly streamIdleTimeoutMs: number;
}

const UNIX = 'unix:';

/** What reflection tells of beside the service: errors, their reasons, and health. */
const ALSO_DESCRIBED = [file_google_rpc_error_details, file_optistore_v1_errors, file_grpc_health_v1_health];

type Handler = (request: unknown, context: CallContext) => Promise<Message> | AsyncIterable<Message>;
type Call =
  ServerUnaryCall<Received, Message> | ServerWritableStream<Received, Message> | ServerDuplexStream<Received, Message>;

/** Serves gRPC at an address, with health and reflection. REQUEST_INVALID or BACKEND_LOCKED where that can't be had. */
export async function openGrpcDoor(options: GrpcDoorOptions): Promise<Door> {
  const draining = new AbortController();
  // Each save listens: more than ten are no leak.
  setMaxListeners(0, draining.signal);
  const room = new ReceiveRoom(options.room);
  let opening: OpenedStream | undefined;
  let connections: Connections | undefined;
  const prepare = (http2Server: Http2Server): void => {
    const { connectionSilenceMs: silenceMs, log } = options;
    connections = new Connections(http2Server, { connectionsMax: CONNECTIONS_MAX, silenceMs, log });
    http2Server.on('stream', (stream) => {
      closeWhenAnswered(stream);
      opening = { stream, room: room.admitHttp2(stream, true) };
    });
  };
  const server = new Server({
    // Above our own limit, so that a message somewhat too large is refused with a reason.
    'grpc.max_receive_message_length': 4 * MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': LOAD_BATCH_BYTES_MAX + MESSAGE_BYTES_MAX,
    'grpc.max_concurrent_streams': STREAMS_PER_CONNECTION_MAX,
    // Nobody can ask for what it would count of each call.
    'grpc.enable_channelz': 0,
    'grpc.max_connection_idle_ms': options.connectionIdleMs ?? CONNECTION_IDLE_MS,
    interceptors: [
      limitCalls(
        { pathPrefix: `/${StorageService.typeName}/`, requestMsMax: options.requestMsMax },
        () => opening as OpenedStream,
      ),
    ],
  });
  server.addService(serviceDefinition(StorageService), implementation(options, draining.signal));
  const health = new ServicesHealth(['', StorageService.typeName]);
  health.addTo(server);
  addReflection(server, StorageService, ...ALSO_DESCRIBED);
  const { listen } = options;
  const socketPath = listen.startsWith(UNIX) ? listen.slice(UNIX.length) : undefined;
  let address: string;
  try {
    address =
      socketPath === undefined
        ? `${listen.slice(0, listen.lastIndexOf(':'))}:${await bind(server, options, prepare)}`
        : await bindSocket(server, options, socketPath, prepare);
  } catch (error) {
    server.forceShutdown();
    throw error;
  }
  return {
    address,
    async drain() {
      health.drain();
      draining.abort();
      // tryShutdown waits for half-read streams for ever (grpc/grpc-node#1458): the timer does not.
      const closed = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      const timer = setTimeout(() => server.forceShutdown(), DRAIN_MS_MAX);
      await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, DRAIN_MS_MAX + 500).unref())]);
      clearTimeout(timer);
      connections?.destroyAll();
      if (socketPath !== undefined) await unlink(socketPath).catch(() => undefined);
    },
  };
}

type Prepare = (server: Http2Server) => void;

async function bindSocket(server: Server, options: GrpcDoorOptions, path: string, prepare: Prepare): Promise<string> {
  await freeSocketPath(path);
  const refused = (userId: number) => options.log.warn({ userId, socket: path }, 'another user was refused');
  await bindPrivately(path, () =>
    bind(server, options, (http2Server) => {
      refuseOtherUsers(http2Server, refused);
      prepare(http2Server);
    }),
  );
  return options.listen;
}

function bind(server: Server, { listen, certificates }: GrpcDoorOptions, prepare: Prepare): Promise<number> {
  const credentials =
    certificates === undefined ? ServerCredentials.createInsecure() : new ReloadedCredentials(certificates);
  return withRaisedWindows(
    () =>
      new Promise((resolve, reject) => {
        server.bindAsync(listen, credentials, (error, port) => {
          if (error === null) resolve(port);
          else
            reject(
              new StorageError(
                'REQUEST_INVALID',
                `Can't listen on ${listen}: ${error.message}. Is another daemon running there? Choose another with --listen.`,
                { cause: error },
              ),
            );
        });
      }),
    prepare,
  );
}

function implementation(options: GrpcDoorOptions, draining: AbortSignal): UntypedServiceImplementation {
  const { log, streamIdleTimeoutMs } = options;
  const door = { log, draining, streamIdleTimeoutMs, isLocal: options.listen.startsWith(UNIX) };
  const methods = StorageService.methods.map((method) => {
    const handler = options.handlers[method.localName as keyof StorageServiceHandlers] as Handler;
    const serve = (call: Call, callback?: sendUnaryData<Message>) =>
      void serveCall(door, method, handler, call, callback);
    return [method.name, serve];
  });
  return Object.fromEntries(methods) as UntypedServiceImplementation;
}

async function serveCall(
  door: Surroundings & Pick<GrpcDoorOptions, 'streamIdleTimeoutMs'> & Pick<CallContext, 'isLocal'>,
  method: DescMethod,
  handler: Handler,
  call: Call,
  callback: sendUnaryData<Message> | undefined,
): Promise<void> {
  const gone = new AbortController();
  let isAnswered = false;
  // Every call is cancelled in the end: to abort what is answered costs an error with its stack.
  const leave = () => isAnswered || gone.abort();
  (call as EventEmitter).on('cancelled', leave).on('error', leave);
  const { draining, isLocal } = door;
  const context = { signal: gone.signal, draining, isLocal, ...authorizationOf(call) };
  const served = new ServedCall(door, method.name, call.getPeer());
  let last: Received | undefined = 'request' in call ? call.request : undefined;
  try {
    served.admit();
    const request =
      'request' in call
        ? decodeRequest(method, call.request.take())
        : decodeAll(method, call, (received) => (last = received));
    const answer = handler(request, context);
    if (callback !== undefined) {
      const message = await (answer as Promise<Message>);
      isAnswered = true;
      callback(null, message);
    } else {
      const stream = call as ServerWritableStream<Received, Message>;
      const answers = answer as AsyncIterable<Message>;
      isAnswered = await writeAtPace(stream, answers, gone.signal, door.streamIdleTimeoutMs);
      if (isAnswered) stream.end();
    }
  } catch (error) {
    const failure = served.fail(error);
    if (callback !== undefined) callback(toStatus(failure));
    else call.emit('error', toStatus(failure));
  }
  // What a client does not read stays in memory, and the status waits behind it.
  last?.cutAfter(door.streamIdleTimeoutMs);
  served.end();
}

function authorizationOf(call: Call): Pick<CallContext, 'authorization'> {
  const [authorization] = call.metadata.get('authorization');
  return authorization === undefined ? {} : { authorization: String(authorization) };
}

/**
 * What a call receives. Its own iterator destroys it when the loop breaks and when an error is emitted, and
 * with it the way back for that error.
 */
async function* chunksOf(call: Readable): AsyncGenerator<Received> {
  let isEnded = false;
  let wake: () => void = () => undefined;
  const end = () => {
    isEnded = true;
    wake();
  };
  call.on('readable', () => wake());
  call.once('end', end).once('close', end).once('error', end);
  while (!isEnded) {
    const chunk = call.read() as Received | null;
    if (chunk !== null) yield chunk;
    else await new Promise<void>((resolve) => (wake = resolve));
  }
}

async function* decodeAll(
  method: DescMethod,
  call: Readable,
  onReceived: (received: Received) => void,
): AsyncGenerator<Message> {
  for await (const received of chunksOf(call)) {
    onReceived(received);
    yield decodeRequest(method, received.take());
  }
}
