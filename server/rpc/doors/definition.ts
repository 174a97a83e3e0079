import { fromBinary, toBinary, type DescMethod, type DescService, type Message } from '@bufbuild/protobuf';
import { LOAD_BATCH_BYTES_MAX } from '../../limits.js';
import { encodeMessage } from '../../rows/message-codec.js';
import { MessageMemory } from '../../rows/message-memory.js';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

/** grpc-js copies an answer into its frame before it serializes the next one: there is never more than one. */
const ANSWER_BYTES_MAX = LOAD_BATCH_BYTES_MAX + LOAD_BATCH_BYTES_MAX / 4;
const ANSWER = new MessageMemory(ANSWER_BYTES_MAX, ANSWER_BYTES_MAX);

function encodeAnswer(method: DescMethod, message: unknown): Buffer {
  let taken: Buffer | undefined;
  const bytes = encodeMessage(method.output, message as Message, (byteLength) => (taken = ANSWER.take(byteLength)));
  if (taken !== undefined) ANSWER.give(taken);
  return bytes;
}

/** A service as grpc-js wants it. Requests stay bytes: the door decodes them, so that it can say what is wrong with them. */
export function serviceDefinition(service: DescService): ServiceDefinition {
  const methods = service.methods.map((method): [string, MethodDefinition<unknown, unknown>] => [
    method.name,
    {
      path: `/${service.typeName}/${method.name}`,
      requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
      responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
      requestSerialize: (message) => Buffer.from(toBinary(method.input, message as never)),
      requestDeserialize: (bytes) => bytes,
      responseSerialize: (message) => encodeAnswer(method, message),
      responseDeserialize: (bytes) => fromBinary(method.output, bytes),
    },
  ]);
  return Object.fromEntries(methods);
}
