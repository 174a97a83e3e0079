import type { DescMethod } from '@bufbuild/protobuf';
import { MESSAGE_BYTES_MAX } from '../../../limits.js';
import { checkMessageSize, decodeRequest, type MessageFormat } from '../decode-request.js';
import { ENVELOPE_BYTES } from '../message-costs.js';
import type { StreamRoom } from '../receive-room.js';

/** How the one message of a request comes. */
interface BodyForm {
  readonly format: MessageFormat;
  /** Behind an envelope, as in Connect's streams and gRPC. */
  readonly isEnveloped: boolean;
}

/** The form that a content type stands for; undefined: none of an rpc. */
export function bodyFormOf(contentType: string): BodyForm | undefined {
  const match = /^application\/(?:(connect|grpc|grpc-web)\+)?(proto|json)(?:;|$)/i.exec(contentType);
  if (match !== null)
    return { format: match[2]?.toLowerCase() === 'json' ? 'json' : 'binary', isEnveloped: match[1] !== undefined };
  return /^application\/grpc(-web)?(;|$)/i.test(contentType) ? { format: 'binary', isEnveloped: true } : undefined;
}

/**
 * The body of a call with one message, as it came: read within the limit, and found to be the method's. Connect would say
 * of a bad one that the daemon is to blame, and no reason. MESSAGE_TOO_LARGE, REQUEST_INVALID.
 */
export async function readRequestBody(
  body: AsyncIterable<Uint8Array>,
  method: DescMethod,
  { format, isEnveloped }: BodyForm,
  declaredBytes: number,
  room: StreamRoom | undefined,
): Promise<Uint8Array> {
  const prefix = isEnveloped ? ENVELOPE_BYTES : 0;
  checkMessageSize(declaredBytes - prefix);
  const chunks: Uint8Array[] = [];
  let byteLength = 0;
  for await (const chunk of body) {
    byteLength += chunk.byteLength;
    chunks.push(chunk);
    if (byteLength <= MESSAGE_BYTES_MAX + prefix) continue;
    // A body that is left in the middle would block its connection: the rest is let go.
    for (const { byteLength: dropped } of chunks.splice(0)) room?.dropped(dropped);
  }
  checkMessageSize(byteLength - prefix);
  const bytes = Buffer.concat(chunks);
  // Of an envelope that is broken, Connect says what is wrong.
  if (!isEnveloped || isWhole(bytes)) decodeRequest(method, bytes.subarray(prefix), format);
  return bytes;
}

function isWhole(bytes: Buffer): boolean {
  if (bytes.byteLength < ENVELOPE_BYTES || bytes[0] !== 0) return false;
  return bytes.readUInt32BE(1) === bytes.byteLength - ENVELOPE_BYTES;
}

/**
 * The body of a stream in pieces that end where messages do: Connect would put a message together anew with each piece that comes.
 * What can't be a message is given as it is: Connect says what is wrong.
 */
export async function* wholeMessages(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let pieces: Uint8Array[] = [];
  let byteLength = 0;
  let wanted = ENVELOPE_BYTES;
  for await (const piece of body) {
    pieces.push(piece);
    byteLength += piece.byteLength;
    if (byteLength < wanted) continue;
    const bytes = Buffer.concat(pieces);
    let end = 0;
    for (let isWhole = true; isWhole;) {
      wanted = messageBytes(bytes, end);
      isWhole = bytes.byteLength - end >= wanted;
      if (isWhole) end += wanted;
    }
    if (wanted > ENVELOPE_BYTES + MESSAGE_BYTES_MAX) end = bytes.byteLength;
    if (end > 0) yield bytes.subarray(0, end);
    pieces = [bytes.subarray(end)];
    byteLength = bytes.byteLength - end;
  }
  if (byteLength > 0) yield Buffer.concat(pieces);
}

/** The length of the message that begins at a place, its envelope included; of the envelope alone where not all of that is there. */
function messageBytes(bytes: Buffer, at: number): number {
  const isToldOf = bytes.byteLength - at >= ENVELOPE_BYTES;
  return ENVELOPE_BYTES + (isToldOf ? bytes.readUInt32BE(at + 1) : 0);
}
