import type { ErrorInfo } from '../../proto/gen/google/rpc/error_details_pb.js';

/** The gRPC codes that the client itself gives or asks for; all there are: https://grpc.io/docs/guides/status-codes/. */
export const GrpcCode = {
  CANCELLED: 1,
  UNKNOWN: 2,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
} as const;

/** A call that failed. */
export class OptistoreError extends Error {
  override readonly name = 'OptistoreError';

  constructor(
    message: string,
    /** gRPC status code: as `status` of @grpc/grpc-js and `Code` of @connectrpc/connect number them. */
    readonly code: number,
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
    if (this.code === GrpcCode.UNAVAILABLE) return true;
    // What a broken connection gives depends on where it broke; the daemon itself always says a reason.
    return (
      this.reason === undefined &&
      (this.code === GrpcCode.INTERNAL || this.code === GrpcCode.UNKNOWN || this.code === GrpcCode.CANCELLED)
    );
  }
}

/** What a transport's own error says. */
export interface Told {
  readonly code: number;
  readonly message: string;
  /** The daemon's; undefined when it did not answer. */
  readonly info: ErrorInfo | undefined;
}

/** Makes an OptistoreError of whatever was thrown; `read` reads the errors of a transport, and gives undefined for all others. */
export function toOptistoreError(
  error: unknown,
  address: string,
  read: (error: Error) => Told | undefined,
): OptistoreError {
  if (error instanceof OptistoreError) return error;
  if (!(error instanceof Error)) return new OptistoreError(String(error), GrpcCode.UNKNOWN, undefined, {});
  const { code, message, info } = read(error) ?? { code: codeOf(error), message: error.message };
  if (info !== undefined) return new OptistoreError(message, code, info.reason, info.metadata, { cause: error });
  const told =
    code === GrpcCode.UNAVAILABLE
      ? `No daemon answers at ${address} (${causeIn(message)}). Start one with \`optistore serve\` (with its page: \`--web 127.0.0.1:8080\`), or name another with --server or OPTISTORE_SERVER.`
      : message;
  return new OptistoreError(told, code, undefined, {}, { cause: error });
}

/** The system's word for why, such as ECONNREFUSED, without what transports wrap around it; what has none is kept. */
function causeIn(message: string): string {
  return /\b(?:connect|getaddrinfo|read|write) (E[A-Z_]+)/.exec(message)?.[1] ?? message;
}

/** Checks of rows that came have a code of their own. */
function codeOf(error: Error): number {
  return 'code' in error && typeof error.code === 'number' ? error.code : GrpcCode.UNKNOWN;
}

/** Whether an ErrorInfo is the daemon's, and not one of a proxy on the way. */
export function isOurs({ domain }: ErrorInfo): boolean {
  return domain === 'optistore';
}
