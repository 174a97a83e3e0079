import type { DescMethod, MessageShape } from '@bufbuild/protobuf';
import type { Caller } from './access/caller.js';
import type { StorageService } from '../../proto/gen/optistore/v1/storage_service_pb.js';

/** What a call knows of its surroundings. */
export interface CallContext {
  /** Aborted when the client goes away or the call is cut. */
  readonly signal: AbortSignal;
  /** Aborted when the daemon stops: streams sync, and end with SHUTTING_DOWN by themselves. */
  readonly draining: AbortSignal;
  /** The call's `authorization`, as the client sent it. Never logged. */
  readonly authorization?: string;
  /** Whether the client is on this machine and the daemon's own user, or root: it came over the Unix socket. */
  readonly isLocal?: boolean | undefined;
  /** Whose token the call has; undefined where none is asked for. */
  readonly caller?: Caller;
}

type Methods = (typeof StorageService)['method'];
type Request<M extends DescMethod> = MessageShape<M['input']>;
type Response<M extends DescMethod> = MessageShape<M['output']>;

type Handler<M extends DescMethod> = M['methodKind'] extends 'unary'
  ? (request: Request<M>, context: CallContext) => Promise<Response<M>>
  : M['methodKind'] extends 'server_streaming'
    ? (request: Request<M>, context: CallContext) => AsyncIterable<Response<M>>
    : (requests: AsyncIterable<Request<M>>, context: CallContext) => AsyncIterable<Response<M>>;

/** The service, written once; each door calls these. They throw StorageErrors. */
export type StorageServiceHandlers = { [Name in keyof Methods]: Handler<Methods[Name]> };
