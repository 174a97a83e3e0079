import { constants, type ServerHttp2Stream } from 'node:http2';
import { ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerInterceptor } from '@grpc/grpc-js';
import { StorageError } from '../../errors.js';
import { MESSAGES_READ_AHEAD, REQUEST_MS_MAX } from '../../limits.js';
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

/**
 * What grpc-js lacks: a request that dribbles in ends in time, and a stream of requests is read ahead by a few
 * messages, not by the 16 of its buffer. `streamNow` gives the HTTP/2 stream that is being opened: grpc-js tells an
 * interceptor nothing of it.
 */
export function limitCalls(limits: CallLimits, streamNow: () => ServerHttp2Stream): ServerInterceptor {
  return ({ path, requestStream }, next) => {
    const call = new LimitedCall(next, streamNow(), path.startsWith(limits.pathPrefix), requestStream);
    if (!requestStream) call.endUnlessWhole(limits.requestMsMax ?? REQUEST_MS_MAX);
    return call;
  };
}

type Listener = Parameters<ServerInterceptingCall['start']>[0];

class LimitedCall extends ServerInterceptingCall {
  private untaken = 0;
  private isReadHeld = false;
  private late: NodeJS.Timeout | undefined;

  constructor(
    next: ServerInterceptingCallInterface,
    private readonly stream: ServerHttp2Stream,
    private readonly isWrapped: boolean,
    private readonly isStream: boolean,
  ) {
    super(next);
  }

  /** Ends the call where its request is not there in time. */
  endUnlessWhole(ms: number): void {
    this.late = setTimeout(() => this.sendStatus(toStatus(tooLate(ms))), ms).unref();
  }

  override start(listener: Listener): void {
    super.start({
      onReceiveMetadata: (metadata) => listener.onReceiveMetadata(metadata),
      onReceiveMessage: (message: Buffer) => {
        this.untaken++;
        listener.onReceiveMessage(this.isWrapped ? this.received(message) : message);
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

  private received(message: Buffer): Received {
    return new Received(
      message,
      () => this.taken(),
      (ms) => this.cutAfter(ms),
    );
  }

  private taken(): void {
    this.untaken--;
    if (!this.isReadHeld) return;
    this.isReadHeld = false;
    super.startRead();
  }

  private cutAfter(ms: number): void {
    const { stream } = this;
    if (stream.closed || stream.destroyed) return;
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), ms).unref();
    stream.once('close', () => clearTimeout(timer));
  }
}

/** The error for a request that dribbles in. */
export function tooLate(ms: number): StorageError {
  return new StorageError('STREAM_IDLE', `The request was not whole after ${ms / 1000} s. Send it again, at once.`);
}
