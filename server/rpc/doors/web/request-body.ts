import type { DescMethod } from '@bufbuild/protobuf';
import { MESSAGE_BYTES_MAX } from '../../../limits.js';
import { checkMessageSize, decodeRequest, type MessageFormat } from '../decode-request.js';

/** Ahead of a message in a stream: a byte of flags, and its length. */
const ENVELOPE_BYTES = 5;

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
): Promise<Uint8Array> {
  const prefix = isEnveloped ? ENVELOPE_BYTES : 0;
  checkMessageSize(declaredBytes - prefix);
  const chunks: Uint8Array[] = [];
  let byteLength = 0;
  for await (const chunk of body) {
    byteLength += chunk.byteLength;
    // A body that is left in the middle would block its connection: the rest is let go.
    if (byteLength <= MESSAGE_BYTES_MAX + prefix) chunks.push(chunk);
    else chunks.length = 0;
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
