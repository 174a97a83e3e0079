import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema } from '../../../proto/gen/google/rpc/error_details_pb.js';
import { isOurs, OptistoreError } from '../../typescript/errors.js';

/** What a failed call means: the daemon's message, its reason and facts, and whether the same call may succeed a little later. */
export function explain(error: unknown): OptistoreError {
  if (error instanceof OptistoreError) return error;
  const told = ConnectError.from(error);
  const info = told.findDetails(ErrorInfoSchema).find(isOurs);
  if (info !== undefined)
    return new OptistoreError(told.rawMessage, told.code, info.reason, info.metadata, { cause: error });
  // fetch fails with a TypeError where nobody answers; in its words (`Failed to fetch`) it says nothing.
  const isUnanswered = error instanceof TypeError || told.cause instanceof TypeError || told.code === Code.Unavailable;
  if (isUnanswered)
    return new OptistoreError('The daemon does not answer.', Code.Unavailable, undefined, {}, { cause: error });
  return new OptistoreError(told.rawMessage, told.code, undefined, {}, { cause: error });
}

/** Whether a call was ended by who made it. */
export function isAborted(error: unknown): boolean {
  return ConnectError.from(error).code === Code.Canceled && explain(error).reason === undefined;
}
