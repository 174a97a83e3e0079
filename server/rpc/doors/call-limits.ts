import { constants, type ServerHttp2Stream } from 'node:http2';
import { ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerInterceptor } from '@grpc/grpc-js';
import { shortened, StorageError } from '../../errors.js';
import { MESSAGES_READ_AHEAD, REQUEST_MS_MAX } from '../../limits.js';
import type { StreamRoom } from './receive-room.js';
import { toStatus } from './status.js';

/** A message as it came. */
export class Received {
  constructor(
    private readonly bytes: Buffer,
    private readonly onTake: () => void,
    /** Cuts the call's stream where it is still open after so many milliseconds. */
    readonly cutAfter: (ms: number) => void,
  ) {}

  /** Its bytes; from now on another one may be read ahead. */
  take(): Buffer {
    this.onTake();
    return this.bytes;
  }
}

/** How calls are kept in bounds. */
export interface CallLimits {
  /** The paths of the rpcs that are given each message as `Received` begin with this. */
  readonly pathPrefix: string;
  /** How long the one request of an rpc may take to come. Default: REQUEST_MS_MAX. */
  readonly requestMsMax?: number | undefined;
}

/** The HTTP/2 stream of a call, and its room. */
export interface OpenedStream {
  readonly stream: ServerHttp2Stream;
  readonly room: StreamRoom;
}

/**
 * What grpc-js lacks: a request that dribbles in ends in time, a stream of requests is read ahead by a few messages, not by
 * the 16 of its buffer, all are kept within the port's room, and
 * no answer is too long to be sent. `opening` gives the HTTP/2 stream that is being opened:
 * grpc-js tells an interceptor nothing of it.
 */
export function limitCalls(limits: CallLimits, opening: () => OpenedStream): ServerInterceptor {
  return ({ path, requestStream }, next) => {
    const call = new LimitedCall(next, opening(), path.startsWith(limits.pathPrefix), requestStream);
    call.endWhenRefused();
    if (!requestStream) call.endUnlessWhole(limits.requestMsMax ?? REQUEST_MS_MAX);
    return call;
  };
}

type Listener = Parameters<ServerInterceptingCall['start']>[0];
type Status = Parameters<ServerInterceptingCall['sendStatus']>[0];

class LimitedCall extends ServerInterceptingCall {
  private untaken = 0;
  private isReadHeld = false;
  private late: NodeJS.Timeout | undefined;

  constructor(
    next: ServerInterceptingCallInterface,
    private readonly opened: OpenedStream,
    private readonly isWrapped: boolean,
    private readonly isStream: boolean,
  ) {
    super(next);
  }

  /** Ends the call where its request is not there in time. */
  endUnlessWhole(ms: number): void {
    this.late = setTimeout(() => this.sendStatus(toStatus(tooLate(ms))), ms).unref();
  }

  /** Ends the call where its stream finds no room. */
  endWhenRefused(): void {
    this.opened.room.whenRefused((error) => setImmediate(() => this.sendStatus(toStatus(error))));
  }

  override start(listener: Listener): void {
    super.start({
      onReceiveMetadata: (metadata) => listener.onReceiveMetadata(metadata),
      onReceiveMessage: (message: Buffer) => {
        const cost = this.opened.room.delivered(message.byteLength);
        this.untaken++;
        if (this.isWrapped) listener.onReceiveMessage(this.received(message, cost));
        else {
          this.taken(cost);
          listener.onReceiveMessage(message);
        }
      },
      onReceiveHalfClose: () => {
        clearTimeout(this.late);
        listener.onReceiveHalfClose();
      },
      onCancel: () => {
        clearTimeout(this.late);
        listener.onCancel();
      },
    });
  }

  override startRead(): void {
    // The end of a stream is read as well: it waits behind messages that nobody takes.
    if (this.isWrapped && this.isStream && this.untaken >= MESSAGES_READ_AHEAD) this.isReadHeld = true;
    else super.startRead();
  }

  /** Services that are not ours repeat what they were asked for: Node sends no trailers over 64 KiB, nor anything behind them. */
  override sendStatus(status: Status): void {
    super.sendStatus(
      status.details === undefined || status.details === null
        ? status
        : { ...status, details: shortened(status.details) },
    );
  }

  private received(message: Buffer, cost: number): Received {
    return new Received(
      message,
      () => this.taken(cost),
      (ms) => this.cutAfter(ms),
    );
  }

  private taken(cost: number): void {
    this.untaken--;
    // The one request of an rpc is held until its answer is there.
    if (this.isStream) this.opened.room.taken(cost);
    if (!this.isReadHeld) return;
    this.isReadHeld = false;
    super.startRead();
  }

  private cutAfter(ms: number): void {
    const { stream } = this.opened;
    if (stream.closed || stream.destroyed) return;
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), ms).unref();
    stream.once('close', () => clearTimeout(timer));
  }
}

/** The error for a request that dribbles in. */
export function tooLate(ms: number): StorageError {
  return new StorageError('STREAM_IDLE', `The request was not whole after ${ms / 1000} s. Send it again, at once.`);
}
