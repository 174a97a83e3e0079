import { setMaxListeners } from 'node:events';
import type { DescMethodServerStreaming, DescMethodUnary, MessageShape } from '@bufbuild/protobuf';
import { StorageService } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { MessageMemory } from '../../server/rows/message-memory.js';
import { GrpcCode, OptistoreError } from './errors.js';
import { GrpcJsLink } from './grpc-js-link.js';
import type { Answers, Link, SaveStream } from './link.js';

type Methods = (typeof StorageService)['method'];
type Input<Name extends keyof Methods> = MessageShape<Methods[Name]['input']>;
type Output<Name extends keyof Methods> = MessageShape<Methods[Name]['output']>;

/** Rpcs that answer one request with a stream, but for LoadResult. */
type Streams = 'copyResult' | 'migrateResult' | 'migrateStore' | 'replicateResults' | 'verifyResults' | 'watchResults';

/** Rows are cut and gathered into messages of about this size. */
export const MESSAGE_BYTES = 1024 * 1024;
/** `cutBatch` makes them a tenth larger. What an ack gives back is used again, by whichever save is next. */
const MEMORY = { pieceBytes: MESSAGE_BYTES * 1.25, keptBytes: MESSAGE_BYTES * 12.5 };

/** A connection to a daemon, typed by the contract, over any transport. */
export class Channel {
  /** Of the rows that its saves have sent, until they are acked. */
  readonly memory = new MessageMemory(MEMORY.pieceBytes, MEMORY.keptBytes);
  private readonly closing = new AbortController();

  /** `address`: what errors call the daemon, and `unix:…` where it is on this machine. */
  constructor(
    readonly address: string,
    private readonly link: Link = new GrpcJsLink(address),
  ) {
    // A client may have many streams, each of which listens.
    setMaxListeners(0, this.closing.signal);
  }

  /** Calls a unary rpc. OptistoreError. */
  async unary<Name extends keyof Methods>(name: Name, request: Input<Name>): Promise<Output<Name>> {
    try {
      return (await this.open.unary(StorageService.method[name] as DescMethodUnary, request)) as Output<Name>;
    } catch (error) {
      throw this.explain(error);
    }
  }

  /** Begins a load. What it fails with, `explain` explains. */
  load(request: Input<'loadResult'>): Answers<Output<'loadResult'>> {
    return this.open.read(StorageService.method.loadResult, request);
  }

  /** Calls an rpc that answers with a stream. OptistoreError. Left early, or when the channel is closed, it is cancelled. */
  async *stream<Name extends Streams>(name: Name, request: Input<Name>): AsyncGenerator<Output<Name>> {
    const method: DescMethodServerStreaming = StorageService.method[name];
    const call = this.open.read(method, request);
    const cancel = () => call.cancel();
    this.closing.signal.addEventListener('abort', cancel, { once: true });
    try {
      for await (const response of call) yield response as Output<Name>;
    } catch (error) {
      throw this.explain(error);
    } finally {
      this.closing.signal.removeEventListener('abort', cancel);
      cancel();
    }
  }

  /** Begins a save. What it fails with, `explain` explains. */
  save(): SaveStream {
    return this.open.save();
  }

  /** Makes an OptistoreError of what a load or a save failed with. */
  explain(error: unknown): OptistoreError {
    return this.link.explain(error);
  }

  /** Whether it was closed: nothing can be called any more. */
  get isClosed(): boolean {
    return this.closing.signal.aborted;
  }

  /** Ends streams that are read, but for loads and saves, and takes no more calls. */
  close(): void {
    this.closing.abort();
    this.link.close();
  }

  private get open(): Link {
    if (this.isClosed) throw new OptistoreError('The client is closed.', GrpcCode.FAILED_PRECONDITION, undefined, {});
    return this.link;
  }
}
