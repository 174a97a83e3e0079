import { fromBinary, toBinary, type DescService, type Message } from '@bufbuild/protobuf';
import { LOAD_BATCH_BYTES_MAX } from '../../limits.js';
import { encodeMessage } from '../../rows/message-codec.js';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

const ANSWER_BYTES_MAX = LOAD_BATCH_BYTES_MAX + LOAD_BATCH_BYTES_MAX / 4;
let answer: Buffer | undefined;

/**
 * Memory of an answer's rows: grpc-js copies them into its frame before it serializes the next one, so there is never more than one.
 * See MessageMemory for what memory of their own would cost.
 */
function memoryOf(byteLength: number): Buffer {
  if (byteLength > ANSWER_BYTES_MAX) return Buffer.allocUnsafe(byteLength);
  answer ??= Buffer.allocUnsafeSlow(ANSWER_BYTES_MAX);
  return answer.subarray(0, byteLength);
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
      responseSerialize: (message) => encodeMessage(method.output, message as Message, memoryOf),
      responseDeserialize: (bytes) => fromBinary(method.output, bytes),
    },
  ]);
  return Object.fromEntries(methods);
}
