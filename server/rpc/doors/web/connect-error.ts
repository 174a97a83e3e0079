import { Code, ConnectError } from '@connectrpc/connect';
import type { DescMethod } from '@bufbuild/protobuf';
import { ErrorInfoSchema } from '../../../../proto/gen/google/rpc/error_details_pb.js';
import { StorageError } from '../../../errors.js';
import { MESSAGE_BYTES_MAX } from '../../../limits.js';
import { requestInvalid } from '../decode-request.js';
import { toErrorInfo } from '../status.js';

/** An error as Connect and gRPC-Web send it: code, message, and the ErrorInfo. */
export function toConnectError(error: StorageError): ConnectError {
  const details = [{ desc: ErrorInfoSchema, value: toErrorInfo(error) }];
  return new ConnectError(error.message, error.code, undefined, details, error);
}

/** Why no more of a stream's requests could be read. */
export function fromConnectError(error: unknown, method: DescMethod): StorageError {
  if (!(error instanceof ConnectError) || GONE.includes(error.code)) return wentAway(error);
  if (error.code !== Code.ResourceExhausted) return requestInvalid(method, error.rawMessage);
  return new StorageError(
    'MESSAGE_TOO_LARGE',
    `A message has more than ${MESSAGE_BYTES_MAX} bytes. Cut the rows into smaller batches.`,
    { cause: error },
  );
}

/** The error for a connection that broke. */
export function wentAway(cause: unknown): StorageError {
  return new StorageError('CANCELLED', 'The client went away.', { cause });
}

/** What Connect makes of a connection that breaks, and of a call whose time is over. */
const GONE = [Code.Aborted, Code.Canceled, Code.DeadlineExceeded];
