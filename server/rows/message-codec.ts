import type { DescMessage, Message } from '@bufbuild/protobuf';
import type { LoadResultResponse, SaveResultRequest } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { LoadResultResponseSchema, SaveResultRequestSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { decode } from '../messages/decode.js';
import { encode } from '../messages/encode.js';
import { decodeEnvelopedBatch, encodeEnvelopedBatch, type TakeMemory } from './envelope-codec.js';

/** Beyond it a row's number is not exact as a number. */
const FIRST_ROW_MAX = BigInt(Number.MAX_SAFE_INTEGER);

type Envelope = SaveResultRequest | LoadResultResponse;

/** A message that was encoded before it is sent. */
export class EncodedMessage {
  constructor(readonly bytes: Buffer) {}
}

/** Messages that are sent again and again, and their bytes once they are known. */
const lasting = new WeakMap<Message, Buffer | undefined>();

/** Says that a message is not changed any more and is likely to be sent again: it is encoded once. Gives it back. */
export function asLasting<Sent extends Message>(message: Sent): Sent {
  lasting.set(message, undefined);
  return message;
}

/**
 * Encodes a message: a batch by hand, into memory that is taken for it; all else as `encode` does. The bytes may be shared, and
 * are not to be changed.
 */
export function encodeMessage(
  schema: DescMessage,
  message: Message | EncodedMessage,
  take: TakeMemory = (byteLength) => Buffer.allocUnsafe(byteLength),
): Buffer {
  if (message instanceof EncodedMessage) return message.bytes;
  const known = lasting.get(message);
  if (known !== undefined) return known;
  const bytes = encodeAnew(schema, message, take);
  if (lasting.has(message)) lasting.set(message, bytes);
  return bytes;
}

function encodeAnew(schema: DescMessage, message: Message, take: TakeMemory): Buffer {
  if (isEnvelope(schema)) {
    const { message: content } = message as Envelope;
    if (content.case === 'batch' && content.value.firstRow <= FIRST_ROW_MAX)
      return encodeEnvelopedBatch(content.value, take);
  }
  return encode(schema, message);
}

/** Decodes a message; bytes fields are views. */
export function decodeMessage(schema: DescMessage, bytes: Uint8Array): Message {
  if (isEnvelope(schema)) {
    const batch = decodeEnvelopedBatch(bytes);
    if (batch !== undefined)
      return { $typeName: schema.typeName, message: { case: 'batch', value: batch } } as Envelope;
  }
  return decode(schema, bytes);
}

function isEnvelope(schema: DescMessage): boolean {
  return schema === SaveResultRequestSchema || schema === LoadResultResponseSchema;
}
