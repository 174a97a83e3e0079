import { fromBinary } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { Metadata, status } from '@grpc/grpc-js';
import { ErrorInfoSchema } from '../../proto/gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '../../proto/gen/google/rpc/status_pb.js';

/** A call that failed. */
export class OptistoreError extends Error {
  override readonly name = 'OptistoreError';

  constructor(
    message: string,
    /** gRPC status code. */
    readonly code: status,
    /** Name of an ErrorReason of the contract, such as `KEY_INVALID`; undefined when the daemon did not answer. */
    readonly reason: string | undefined,
    /** Facts of the error, such as `next_row`. */
    readonly metadata: Readonly<Record<string, string>>,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** Whether the same call may succeed a little later: the daemon is away or going, or the connection broke. */
  get isRetryable(): boolean {
    if (this.code === status.UNAVAILABLE) return true;
    // What a broken connection gives depends on where it broke; the daemon itself always says a reason.
    return (
      this.reason === undefined &&
      (this.code === status.INTERNAL || this.code === status.UNKNOWN || this.code === status.CANCELLED)
    );
  }
}

/** Makes an OptistoreError of what grpc-js threw. */
export function toOptistoreError(error: unknown, address: string): OptistoreError {
  if (error instanceof OptistoreError) return error;
  if (!(error instanceof Error)) return new OptistoreError(String(error), status.UNKNOWN, undefined, {});
  const code = 'code' in error && typeof error.code === 'number' ? (error.code as status) : status.UNKNOWN;
  const info = 'metadata' in error && error.metadata instanceof Metadata ? errorInfo(error.metadata) : undefined;
  const details = 'details' in error && typeof error.details === 'string' ? error.details : error.message;
  if (info !== undefined) return new OptistoreError(details, code, info.reason, info.metadata, { cause: error });
  const isAway = code === status.UNAVAILABLE;
  const message = isAway
    ? `No daemon answers at ${address} (${details}). Start one with \`optistore serve\`, or name another with --server or OPTISTORE_SERVER.`
    : details;
  return new OptistoreError(message, code, undefined, {}, { cause: error });
}

function errorInfo(metadata: Metadata) {
  const [bytes] = metadata.get('grpc-status-details-bin');
  if (!Buffer.isBuffer(bytes)) return undefined;
  for (const detail of fromBinary(StatusSchema, bytes).details) {
    const info = anyUnpack(detail, ErrorInfoSchema);
    if (info?.domain === 'optistore') return info;
  }
  return undefined;
}
