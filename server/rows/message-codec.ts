import { fromBinary, toBinary, type DescMessage, type Message } from '@bufbuild/protobuf';
import type { LoadResultResponse, SaveResultRequest } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { LoadResultResponseSchema, SaveResultRequestSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { decodeEnvelopedBatch, encodeEnvelopedBatch } from './envelope-codec.js';

/** Beyond it a row's number is not exact as a number. */
const FIRST_ROW_MAX = BigInt(Number.MAX_SAFE_INTEGER);

type Envelope = SaveResultRequest | LoadResultResponse;

/** Messages that are sent again and again, and their bytes once they are known. */
const lasting = new WeakMap<Message, Buffer | undefined>();

/** Says that a message is not changed any more and is likely to be sent again: it is encoded once. Gives it back. */
export function asLasting<Sent extends Message>(message: Sent): Sent {
  lasting.set(message, undefined);
  return message;
}

/** Encodes a message: a batch by hand, all else by protobuf-es. The bytes may be shared, and are not to be changed. */
export function encodeMessage(schema: DescMessage, message: Message): Buffer {
  const known = lasting.get(message);
  if (known !== undefined) return known;
  const bytes = encodeAnew(schema, message);
  if (lasting.has(message)) lasting.set(message, bytes);
  return bytes;
}

function encodeAnew(schema: DescMessage, message: Message): Buffer {
  if (isEnvelope(schema)) {
    const { message: content } = message as Envelope;
    if (content.case === 'batch' && content.value.firstRow <= FIRST_ROW_MAX) return encodeEnvelopedBatch(content.value);
  }
  const bytes = toBinary(schema, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Decodes a message; bytes fields are views. */
export function decodeMessage(schema: DescMessage, bytes: Uint8Array): Message {
  if (isEnvelope(schema)) {
    const batch = decodeEnvelopedBatch(bytes);
    if (batch !== undefined)
      return { $typeName: schema.typeName, message: { case: 'batch', value: batch } } as Envelope;
  }
  return fromBinary(schema, bytes);
}

function isEnvelope(schema: DescMessage): boolean {
  return schema === SaveResultRequestSchema || schema === LoadResultResponseSchema;
}
