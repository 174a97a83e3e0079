import { randomUUID } from 'node:crypto';
import { fromJson, toJson, type DescMessage, type JsonValue, type MessageShape } from '@bufbuild/protobuf';
import { crc32 } from '../../rows/checksum.js';
import { corrupt } from '../blocks/block-format.js';

/** What a file may hold that people read and the daemon trusts. */
export type JsonContent = Readonly<Record<string, JsonValue>>;

const HEAD = '{\n  "crc32": "';
const CRC_LENGTH = 8;
/** JSON has -0, but JSON.stringify writes 0: a smallest value of -0 would not come back bit for bit. */
const MINUS_ZERO = `minus zero ${randomUUID()}`;

/** JSON for people that begins with the CRC-32 of all that follows it. */
export function encodeJson(content: JsonContent): Buffer {
  const text = JSON.stringify(content, (_, value: unknown) => asJson(value), 2);
  const rest = Buffer.from(`",\n${text.slice(2).replaceAll(`"${MINUS_ZERO}"`, '-0')}\n`);
  return Buffer.concat([Buffer.from(HEAD + hexOf(crc32(rest))), rest]);
}

function asJson(value: unknown): unknown {
  if (typeof value === 'number') return Object.is(value, -0) ? MINUS_ZERO : value;
  // Half of a surrogate pair is no UTF-8; protobuf's other form has the same in its place.
  return typeof value === 'string' ? value.toWellFormed() : value;
}

/** Reads what encodeJson made. RESULT_CORRUPT, naming the file, where it does not check. */
export function decodeJson(bytes: Buffer, file: string): JsonContent {
  const rest = bytes.subarray(HEAD.length + CRC_LENGTH);
  const head = bytes.subarray(0, HEAD.length + CRC_LENGTH).toString('latin1');
  if (head !== HEAD + hexOf(crc32(rest))) throw corrupt(file);
  return JSON.parse(bytes.toString('utf8')) as JsonContent;
}

/** A number of 32 bits as eight hexadecimal digits. */
export function hexOf(number: number): string {
  return number.toString(16).padStart(CRC_LENGTH, '0');
}

/** A message as a part of such a file. */
export function messageJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): JsonValue {
  return toJson(schema, message);
}

/** A message that a file has; what a newer version has added to it is left out. RESULT_CORRUPT. */
export function messageOf<Desc extends DescMessage>(
  schema: Desc,
  json: JsonValue | undefined,
  file: string,
): MessageShape<Desc> {
  if (json === undefined) throw corrupt(file);
  try {
    return fromJson(schema, json, { ignoreUnknownFields: true });
  } catch {
    // It checks, and is another file's.
    throw corrupt(file);
  }
}
