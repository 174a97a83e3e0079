import { fromJsonString, type DescMethod, type Message } from '@bufbuild/protobuf';
import { StorageError } from '../../errors.js';
import { MESSAGE_BYTES_MAX } from '../../limits.js';
import { decodeMessage } from '../../rows/message-codec.js';

/** How a message is written. */
export type MessageFormat = 'binary' | 'json';

/** JSON with a field that nobody knows is refused: a field that is misspelt would do nothing. */
export const JSON_OPTIONS = { ignoreUnknownFields: false } as const;

/** Decodes a request of a method: MESSAGE_TOO_LARGE, REQUEST_INVALID. */
export function decodeRequest(method: DescMethod, bytes: Uint8Array, format: MessageFormat = 'binary'): Message {
  checkMessageSize(bytes.byteLength);
  try {
    if (format === 'binary') return decodeMessage(method.input, bytes);
    return fromJsonString(method.input, new TextDecoder('utf-8', { fatal: true }).decode(bytes), JSON_OPTIONS);
  } catch (error) {
    throw requestInvalid(method, error);
  }
}

/** Refuses a message that is too long: MESSAGE_TOO_LARGE. */
export function checkMessageSize(byteLength: number): void {
  if (byteLength <= MESSAGE_BYTES_MAX) return;
  throw new StorageError(
    'MESSAGE_TOO_LARGE',
    `The message has ${byteLength} bytes; at most ${MESSAGE_BYTES_MAX} are accepted. Cut the rows into smaller batches.`,
  );
}

/** The error for a request that is not one of its method. */
export function requestInvalid(method: DescMethod, cause: unknown): StorageError {
  return new StorageError('REQUEST_INVALID', `The message is not a ${method.input.name}: ${String(cause)}.`, { cause });
}
