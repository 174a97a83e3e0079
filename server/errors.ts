import { type ErrorReason } from '../proto/gen/optistore/v1/errors_pb.js';
import { ERROR_TEXT_BYTES_MAX } from './limits.js';

/** Why something failed: the names of `ErrorReason` in the contract. Stable; documented there. */
export type Reason = Exclude<keyof typeof ErrorReason, 'UNSPECIFIED'>;

/** gRPC status codes that the daemon uses, by number. https://grpc.io/docs/guides/status-codes/ */
export const GrpcCode = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** The one table from reasons to gRPC codes. */
const CODE_OF_REASON: Record<Reason, keyof typeof GrpcCode> = {
  KEY_INVALID: 'INVALID_ARGUMENT',
  PROBLEM_INVALID: 'INVALID_ARGUMENT',
  BATCH_MISMATCH: 'INVALID_ARGUMENT',
  CHECKSUM_MISMATCH: 'INVALID_ARGUMENT',
  REQUEST_INVALID: 'INVALID_ARGUMENT',
  PAGE_TOKEN_INVALID: 'INVALID_ARGUMENT',
  RESULT_CORRUPT: 'DATA_LOSS',
  ROW_GAP: 'OUT_OF_RANGE',
  ROW_RANGE_INVALID: 'OUT_OF_RANGE',
  ROW_COUNT_MISMATCH: 'FAILED_PRECONDITION',
  UPLOAD_CONFLICT: 'FAILED_PRECONDITION',
  UPLOAD_COMMITTED: 'FAILED_PRECONDITION',
  UPLOAD_TAKEN_OVER: 'ABORTED',
  UPLOAD_NOT_FOUND: 'NOT_FOUND',
  UPLOAD_ABORTED: 'NOT_FOUND',
  UPLOAD_EXPIRED: 'NOT_FOUND',
  REVISION_MISMATCH: 'ABORTED',
  RESULT_NOT_FOUND: 'NOT_FOUND',
  REVISION_NOT_FOUND: 'NOT_FOUND',
  COLUMN_NOT_FOUND: 'NOT_FOUND',
  MESSAGE_TOO_LARGE: 'RESOURCE_EXHAUSTED',
  TOO_MANY_COLUMNS: 'RESOURCE_EXHAUSTED',
  TOO_MANY_UPLOADS: 'RESOURCE_EXHAUSTED',
  DISK_FULL: 'RESOURCE_EXHAUSTED',
  QUOTA_EXCEEDED: 'RESOURCE_EXHAUSTED',
  MEMORY_LIMIT: 'RESOURCE_EXHAUSTED',
  BACKEND_UNAVAILABLE: 'UNAVAILABLE',
  BACKEND_LOCKED: 'FAILED_PRECONDITION',
  SHUTTING_DOWN: 'UNAVAILABLE',
  STREAM_IDLE: 'UNAVAILABLE',
  PROTOCOL_VIOLATION: 'FAILED_PRECONDITION',
  CANCELLED: 'CANCELLED',
  INTERNAL: 'INTERNAL',
  RESULT_SET_NOT_FOUND: 'NOT_FOUND',
  RESULT_SET_INVALID: 'INVALID_ARGUMENT',
  TOO_MANY_RESULT_SETS: 'RESOURCE_EXHAUSTED',
  FILTER_INVALID: 'INVALID_ARGUMENT',
  EVENTS_EXPIRED: 'OUT_OF_RANGE',
  NO_SECONDARY: 'FAILED_PRECONDITION',
  VOLATILE_TARGET: 'FAILED_PRECONDITION',
  TOKEN_INVALID: 'UNAUTHENTICATED',
  NOT_ALLOWED: 'PERMISSION_DENIED',
};

/** Stands for what is left out of a long text. */
const LEFT_OUT = ' … ';

/** A text of an error for peers that is not longer, in UTF-8; the middle of a long one is left out: what to do stands at the end. */
export function shortened(text: string): string {
  // A unit of UTF-16 takes three bytes at most.
  if (text.length * 3 <= ERROR_TEXT_BYTES_MAX) return text;
  const bytes = Buffer.from(text);
  if (bytes.byteLength <= ERROR_TEXT_BYTES_MAX) return text;
  const isInside = (at: number) => ((bytes[at] ?? 0) & 0xc0) === 0x80;
  let headEnd = ERROR_TEXT_BYTES_MAX / 2;
  let tailStart = bytes.byteLength - headEnd + Buffer.byteLength(LEFT_OUT);
  while (isInside(headEnd)) headEnd--;
  while (isInside(tailStart)) tailStart++;
  return `${bytes.toString('utf8', 0, headEnd)}${LEFT_OUT}${bytes.toString('utf8', tailStart)}`;
}

/**
 * A failure that the caller can act on. Its message says what was wrong, what was expected and what to do; of a long
 * one the middle is left out.
 */
export class StorageError extends Error {
  override readonly name = 'StorageError';
  /** Facts for programs, such as `next_row`; they travel in ErrorInfo.metadata. */
  readonly metadata: Readonly<Record<string, string>>;

  constructor(
    readonly reason: Reason,
    message: string,
    options: { cause?: unknown; metadata?: Record<string, string> } = {},
  ) {
    super(shortened(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.metadata = Object.fromEntries(
      Object.entries(options.metadata ?? {}).map(([name, fact]) => [name, shortened(fact)]),
    );
  }

  /** The gRPC status code that the reason stands for. */
  get code(): number {
    return GrpcCode[CODE_OF_REASON[this.reason]];
  }
}

/** Whether an error tells of damage. */
export function isCorrupt(error: unknown): error is StorageError {
  return error instanceof StorageError && error.reason === 'RESULT_CORRUPT';
}

/** The key whose entry in a store does not check; undefined where an error says something else. */
export function damagedKeyOf(error: unknown): string | undefined {
  return isCorrupt(error) ? error.metadata['damaged_key'] : undefined;
}

/** What is wrong with an entry that does not check: all that a store keeps of a key but rows. */
export function damageOf(key: string, cause?: unknown): string {
  const part = cause instanceof StorageError ? cause.metadata['damaged_part'] : undefined;
  return `The store's entry of "${key}"${part === undefined ? '' : ` (${part})`} does not check: its disk or file is damaged.`;
}

/** Undefined instead of an entry of a store that does not check; all else fails as it does. */
export async function unlessDamaged<T>(entry: Promise<T>): Promise<T | undefined> {
  try {
    return await entry;
  } catch (error) {
    if (damagedKeyOf(error) === undefined) throw error;
    return undefined;
  }
}

/** For a `catch`: damage gives undefined, any other failure stays one. */
export function unlessCorrupt(error: unknown): undefined {
  if (!isCorrupt(error)) throw error;
}

/** Fails with the signal's StorageError, else CANCELLED, where it is aborted. */
export function throwIfCancelled(signal: AbortSignal): void {
  if (!signal.aborted) return;
  const reason: unknown = signal.reason;
  throw reason instanceof StorageError ? reason : toStorageError(reason);
}

/** Makes a StorageError of anything thrown: itself, an abort, a system error, or a defect (INTERNAL). */
export function toStorageError(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  if (error instanceof Error) {
    if (error.name === 'AbortError') {
      return error.cause instanceof StorageError
        ? error.cause
        : new StorageError('CANCELLED', 'The caller cancelled the operation.', { cause: error });
    }
    const code = 'code' in error ? error.code : undefined;
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      return new StorageError(
        'DISK_FULL',
        'The disk of the store is full. Nothing acknowledged is lost: free some room, then resume the upload.',
        { cause: error },
      );
    }
    if (code === 'EIO' || code === 'EMFILE' || code === 'ENFILE' || code === 'EROFS') {
      return new StorageError('BACKEND_UNAVAILABLE', `The store failed: ${error.message}. Try again later.`, {
        cause: error,
      });
    }
  }
  return new StorageError('INTERNAL', "Internal error. The daemon's log has more.", { cause: error });
}
