import { create, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { Metadata, type StatusObject } from '@grpc/grpc-js';
import { ErrorInfoSchema, type ErrorInfo } from '../../../proto/gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '../../../proto/gen/google/rpc/status_pb.js';
import type { StorageError } from '../../errors.js';

/** The domain of every ErrorInfo that the daemon sends. */
export const ERROR_DOMAIN = 'optistore';

/** What programs are told of an error, at every door. */
export function toErrorInfo({ reason, metadata }: StorageError): ErrorInfo {
  return create(ErrorInfoSchema, { reason, domain: ERROR_DOMAIN, metadata });
}

/** An error as grpc-js sends it: code, message, and the ErrorInfo in `grpc-status-details-bin`. */
export function toStatus(error: StorageError): StatusObject {
  const { code, message } = error;
  const status = create(StatusSchema, { code, message, details: [anyPack(ErrorInfoSchema, toErrorInfo(error))] });
  const trailers = new Metadata();
  trailers.set('grpc-status-details-bin', Buffer.from(toBinary(StatusSchema, status)));
  return { code, details: message, metadata: trailers };
}
