import type { DescMethod, Message } from '@bufbuild/protobuf';
import { Code, ConnectError, createConnectRouter, createContextKey, createContextValues } from '@connectrpc/connect';
import type { HandlerContext } from '@connectrpc/connect';
import type { UniversalHandler, UniversalServerRequest, UniversalServerResponse } from '@connectrpc/connect/protocol';
import { universalRequestFromNodeRequest } from '@connectrpc/connect-node';
import { StorageService } from '../../../../proto/gen/optistore/v1/storage_service_pb.js';
import { StorageError } from '../../../errors.js';
import { LOAD_BATCH_BYTES_MAX, MESSAGE_BYTES_MAX, REQUEST_MS_MAX } from '../../../limits.js';
import type { CallContext, StorageServiceHandlers } from '../../service.js';
import { tooLate } from '../call-limits.js';
import { JSON_OPTIONS } from '../decode-request.js';
import { writeAtPace, type AnswerSink } from '../paced-answers.js';
import type { StreamRoom } from '../receive-room.js';
import { ServedCall, type Surroundings } from '../served-call.js';
import { fromConnectError, toConnectError, wentAway } from './connect-error.js';
import type { WebRequest, WebResponse } from './listener.js';
import { bodyFormOf, readRequestBody, wholeMessages } from './request-body.js';

/** What the rpcs of the web port are served with. */
export interface RpcOptions extends Surroundings {
  readonly handlers: StorageServiceHandlers;
  /** Where SaveResult is to be had, for those who ask for it over HTTP/1.1. */
  readonly grpcAddress: string;
  /** An answer of which nothing is read for this long ends with STREAM_IDLE. */
  readonly streamIdleTimeoutMs: number;
  /** See REQUEST_MS_MAX, its default. */
  readonly requestMsMax?: number | undefined;
}

/** Serves an rpc; the handler of a request's path. */
export type Rpc = (request: WebRequest, response: WebResponse, room: StreamRoom) => Promise<void>;

/** A request on its way through Connect, which knows nothing of the log. */
class Passage {
  private served: ServedCall | undefined;

  constructor(
    readonly peer: string,
    /** Where its messages are until they are taken up. */
    readonly room?: StreamRoom,
  ) {}

  /** Begins the call that it is: of what Connect refuses by itself, the log says nothing. */
  begin(options: RpcOptions, method: DescMethod): ServedCall {
    return (this.served ??= new ServedCall(options, method.name, this.peer));
  }

  fail(error: unknown): void {
    this.served?.fail(error);
  }

  end(): void {
    this.served?.end();
  }
}

const PASSAGE = createContextKey(new Passage(''));

/** The rpcs by path, for HTTP/1.1 or HTTP/2. Over HTTP/1.1 nobody can send and receive at once: no SaveResult. */
export function createRpcs(options: RpcOptions, httpVersion: 1 | 2): Map<string, Rpc> {
  const router = createConnectRouter({
    grpc: httpVersion === 2,
    acceptCompression: [],
    readMaxBytes: MESSAGE_BYTES_MAX,
    writeMaxBytes: LOAD_BATCH_BYTES_MAX + MESSAGE_BYTES_MAX,
    jsonOptions: JSON_OPTIONS,
  });
  for (const method of StorageService.methods) {
    if (method.methodKind !== 'bidi_streaming') router.rpc(method, implementation(options, method) as never);
    else if (httpVersion === 2) router.rpc(method, implementation(options, method) as never);
    else router.rpc({ ...method, methodKind: 'client_streaming' } as never, (() => refuse(method, options)) as never);
  }
  return new Map(router.handlers.map((handler) => [handler.requestPath, rpcOf(handler, options)]));
}

/** What SaveResult answers where it can't be served. */
export function unimplemented(method: string, grpcAddress: string): string {
  return `${method} sends and receives at once, which HTTP/1.1 can't. Use gRPC, at ${grpcAddress}.`;
}

function refuse(method: DescMethod, { grpcAddress }: RpcOptions): never {
  throw new ConnectError(unimplemented(method.name, grpcAddress), Code.Unimplemented);
}

type Handler = (request: unknown, context: CallContext) => Promise<Message> | AsyncIterable<Message>;

/** A method as Connect wants it. */
function implementation(options: RpcOptions, method: DescMethod) {
  const handler = options.handlers[method.localName as keyof StorageServiceHandlers] as Handler;
  const begin = (context: HandlerContext) => context.values.get(PASSAGE).begin(options, method);
  if (method.methodKind === 'unary')
    return async (request: Message, context: HandlerContext): Promise<Message> => {
      const served = begin(context);
      try {
        served.admit();
        return await (handler(request, contextOf(context, options)) as Promise<Message>);
      } catch (error) {
        throw failed(served.fail(error), context);
      }
    };
  return async function* (request: Message | AsyncIterable<Message>, context: HandlerContext): AsyncGenerator<Message> {
    const served = begin(context);
    try {
      served.admit();
      const asked = Symbol.asyncIterator in request ? explained(request, method, context.values.get(PASSAGE)) : request;
      yield* handler(asked, contextOf(context, options)) as AsyncIterable<Message>;
    } catch (error) {
      throw failed(served.fail(error), context);
    }
  };
}

function contextOf({ signal, requestHeader }: HandlerContext, { draining }: RpcOptions): CallContext {
  // Connect's signal gives errors of Connect as its reason, which the service would take for a defect.
  const gone = new AbortController();
  signal.addEventListener('abort', () => gone.abort(), { once: true });
  if (signal.aborted) gone.abort();
  const authorization = requestHeader.get('authorization');
  return { signal: gone.signal, draining, ...(authorization === null ? {} : { authorization }) };
}

/** A call whose time is over was cancelled, but not by the client. */
function failed(failure: StorageError, { signal }: HandlerContext): ConnectError {
  const reason: unknown = signal.reason;
  const isOverdue = reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
  return isOverdue && failure.reason === 'CANCELLED' ? reason : toConnectError(failure);
}

async function* explained(
  requests: AsyncIterable<Message>,
  method: DescMethod,
  { room }: Passage,
): AsyncGenerator<Message> {
  try {
    for await (const request of requests) {
      if (room !== undefined) room.taken(room.delivered(0));
      yield request;
    }
  } catch (error) {
    throw fromConnectError(error, method);
  }
}

function rpcOf(handler: UniversalHandler, options: RpcOptions): Rpc {
  return async (request, response, room) => {
    const passage = new Passage(peerOf(request), room);
    const values = createContextValues().set(PASSAGE, passage);
    const call = universalRequestFromNodeRequest(request, response, undefined, values);
    try {
      const answer = await handler(withCheckedBody(call, handler.method, options, passage));
      answer.header?.forEach((value, name) => response.setHeader(name, value));
      // Not by `end`, which over HTTP/2 leaves the trailers of an answer without a body out.
      response.writeHead(answer.status);
      if (!(await isWritten(response, answer.body, call.signal, options, passage))) return;
      if (answer.trailer !== undefined) response.addTrailers(Object.fromEntries(answer.trailer));
      response.end();
      cutAfter(response, options.streamIdleTimeoutMs);
    } finally {
      passage.end();
    }
  };
}

/** Writes an answer's body. False where the client is gone; one that does not read is cut off, as nothing reaches it. */
async function isWritten(
  response: WebResponse,
  body: UniversalServerResponse['body'],
  gone: AbortSignal,
  { streamIdleTimeoutMs }: RpcOptions,
  passage: Passage,
): Promise<boolean> {
  if (body === undefined) return true;
  try {
    return await writeAtPace(response as AnswerSink<Uint8Array>, body, gone, streamIdleTimeoutMs);
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    passage.fail(error);
    response.destroy();
    return false;
  }
}

/** What a client does not read of an answer stays in memory, but for so many milliseconds. */
function cutAfter(response: WebResponse, ms: number): void {
  const timer = setTimeout(() => response.destroy(), ms).unref();
  response.once('close', () => clearTimeout(timer));
}

/** The other end, as the log names it. */
export function peerOf({ socket }: WebRequest): string {
  return `${socket.remoteAddress ?? 'gone'}:${socket.remotePort ?? 0}`;
}

/** The one message of a call is looked at before Connect reads it; a stream's messages come whole. */
function withCheckedBody(
  call: UniversalServerRequest,
  method: DescMethod,
  options: RpcOptions,
  passage: Passage,
): UniversalServerRequest {
  const form = bodyFormOf(call.header.get('content-type') ?? '');
  const isOne = method.methodKind === 'unary' || method.methodKind === 'server_streaming';
  const { body, header, httpVersion } = call;
  if (form === undefined) return call;
  if (!isOne) return { ...call, body: wholeMessages(body as AsyncIterable<Uint8Array>) };
  const declaredBytes = Number(header.get('content-length') ?? 0);
  // Connect would refuse by it alone, without a reason.
  header.delete('content-length');
  const checked = async function* (): AsyncGenerator<Uint8Array> {
    // HTTP/1.1 has this limit of its own, and closes the connection.
    const ms = options.requestMsMax ?? REQUEST_MS_MAX;
    let timer: NodeJS.Timeout | undefined;
    const refused = new Promise<never>((_, reject) => {
      if (httpVersion.startsWith('2')) timer = setTimeout(() => reject(tooLate(ms)), ms);
      passage.room?.whenRefused(reject);
    });
    try {
      const whole = readRequestBody(body as AsyncIterable<Uint8Array>, method, form, declaredBytes, passage.room);
      yield await Promise.race([whole, refused]);
    } catch (error) {
      const served = passage.begin(options, method);
      throw toConnectError(served.fail(error instanceof StorageError ? error : wentAway(error)));
    } finally {
      clearTimeout(timer);
    }
  };
  return { ...call, body: checked() };
}
