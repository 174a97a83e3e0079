import {
  fromBinary,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodStreaming,
  type DescMethodUnary,
  type MessageShape,
} from '@bufbuild/protobuf';
// Types alone: who uses grpc-js does not load Connect.
import type { ConnectError, Transport } from '@connectrpc/connect';
import { ErrorInfoSchema, type ErrorInfo } from '../../proto/gen/google/rpc/error_details_pb.js';
import {
  SaveResultRequestSchema,
  StorageService,
  type SaveResultRequest,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { decodeMessage, EncodedMessage } from '../../server/rows/message-codec.js';
import { GrpcCode, isOurs, toOptistoreError, type OptistoreError, type Told } from './errors.js';
import type { Answers, Link, SaveStream } from './link.js';
import { SentMessages } from './sent-messages.js';

/** A Transport that may say which daemon it leads to: `host:port`, or `unix:PATH`, where loads read the daemon's files. */
export type AddressedTransport = Transport & { readonly address?: string };

/** A daemon by a Transport of Connect, whatever that is made of. It is not closed here: who made it may use it elsewhere. */
export class ConnectLink implements Link {
  readonly address: string;

  constructor(private readonly transport: AddressedTransport) {
    this.address = transport.address ?? "the transport's address";
  }

  async unary<Request extends DescMessage, Response extends DescMessage>(
    method: DescMethodUnary<Request, Response>,
    request: MessageShape<Request>,
  ): Promise<MessageShape<Response>> {
    return (await this.transport.unary(method, undefined, undefined, undefined, request)).message;
  }

  read<Request extends DescMessage, Response extends DescMessage>(
    method: DescMethodServerStreaming<Request, Response>,
    request: MessageShape<Request>,
  ): Answers<MessageShape<Response>> {
    const requests = new SentMessages<MessageShape<Request>>();
    requests.write(request);
    requests.end();
    return new ConnectCall(this.transport, method, requests);
  }

  save(): SaveStream {
    return new ConnectSave(this.transport);
  }

  explain(error: unknown): OptistoreError {
    return toOptistoreError(error, this.address, told);
  }

  close(): void {
    // Nothing here is open but calls, and those go on.
  }
}

/** A call, begun when it is made. */
class ConnectCall<Request extends DescMessage, Response extends DescMessage> implements Answers<
  MessageShape<Response>
> {
  destroyed = false;
  private readonly aborting = new AbortController();
  private readonly answered: Promise<AsyncIterable<MessageShape<Response>>>;

  constructor(
    transport: Transport,
    method: DescMethodStreaming<Request, Response>,
    protected readonly requests: SentMessages<MessageShape<Request>>,
  ) {
    const { signal } = this.aborting;
    this.answered = transport
      .stream<Request, Response>(method, signal, undefined, undefined, requests as AsyncIterable<never>)
      .then(({ message }) => message);
    // Told to who reads; without anyone it would end the process.
    this.answered.catch(() => undefined);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<MessageShape<Response>> {
    try {
      yield* await this.answered;
    } finally {
      this.cancel();
    }
  }

  cancel(): void {
    this.destroyed = true;
    // What waits is not sent any more, and its memory is somebody else's soon.
    this.requests.cut();
    this.aborting.abort();
  }
}

/**
 * A save. Connect encodes messages itself: of one that is encoded already it gets the message back, whose bytes fields are views. The
 * bytes as an unknown field would take a third less processor time; but interceptors would see no rows, and a transport of JSON lose them.
 */
class ConnectSave
  extends ConnectCall<typeof SaveResultRequestSchema, typeof StorageService.method.saveResult.output>
  implements SaveStream
{
  constructor(transport: Transport) {
    super(transport, StorageService.method.saveResult, new SentMessages());
  }

  write(message: SaveResultRequest | EncodedMessage): boolean {
    if (!(message instanceof EncodedMessage)) return this.requests.write(message);
    return this.requests.write(decodeMessage(SaveResultRequestSchema, message.bytes) as SaveResultRequest);
  }

  drained(): Promise<void> {
    return this.requests.drained();
  }

  end(): void {
    this.requests.end();
  }
}

function told(error: Error): Told | undefined {
  // ConnectError of whichever copy of the package made the transport.
  if (error.name !== 'ConnectError') return undefined;
  const { code, rawMessage, details, cause } = error as ConnectError;
  const info = details.flatMap((detail) => ('type' in detail ? infosOf(detail) : [])).find(isOurs);
  return { code: info === undefined && isBroken(code, cause) ? GrpcCode.UNAVAILABLE : code, message: rawMessage, info };
}

function infosOf({ type, value }: { readonly type: string; readonly value: Uint8Array }): ErrorInfo[] {
  return type === ErrorInfoSchema.typeName ? [fromBinary(ErrorInfoSchema, value)] : [];
}

/**
 * Whether it is the connection that failed. Connect calls a reset ABORTED, a session that ends under a call CANCELLED, and all that it
 * has no name for, such as a certificate that is not trusted, INTERNAL; Node's own error lies below, with a code in letters.
 */
function isBroken(code: number, cause: unknown): boolean {
  if (code === GrpcCode.ABORTED || code === GrpcCode.CANCELLED) return true;
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string';
}
