import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, MessageShape } from '@bufbuild/protobuf';
import type { SaveResultRequest, SaveResultResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { EncodedMessage } from '../../server/rows/message-codec.js';
import type { OptistoreError } from './errors.js';

/** Answers of a call, at the pace of who reads them; iterated once. */
export interface Answers<Answer> extends AsyncIterable<Answer> {
  /** Ends the call; who still reads gets an error. */
  cancel(): void;
}

/** A call of SaveResult. It is to be read from the beginning: what it ends with is told there. */
export interface SaveStream extends Answers<SaveResultResponse> {
  /** Sends a message; false where the next one is to wait for `drained`. An encoded one is not changed before it is acked. */
  write(message: SaveResultRequest | EncodedMessage): boolean;
  /** Resolves when there is room again. Of a stream that ends meanwhile it may reject, or never settle. */
  drained(): Promise<void>;
  /** Says that nothing more comes. */
  end(): void;
  /** Whether it is over, and takes nothing more. */
  readonly destroyed: boolean;
}

/**
 * How calls reach a daemon: a transport, as writers, readers and watchers see it. Calls fail with whatever the transport
 * throws; `explain` says what that means.
 */
export interface Link {
  unary<Request extends DescMessage, Response extends DescMessage>(
    method: DescMethodUnary<Request, Response>,
    request: MessageShape<Request>,
  ): Promise<MessageShape<Response>>;

  /** Calls an rpc that answers with a stream. */
  read<Request extends DescMessage, Response extends DescMessage>(
    method: DescMethodServerStreaming<Request, Response>,
    request: MessageShape<Request>,
  ): Answers<MessageShape<Response>>;

  /** Begins a save. */
  save(): SaveStream;

  /** Makes an OptistoreError of what a call failed with. */
  explain(error: unknown): OptistoreError;

  /** Takes no more calls. Those that are under way go on. */
  close(): void;
}
