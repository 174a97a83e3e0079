import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ManifestSchema, RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { KEY_BYTES_MAX } from '../../limits.js';
import { decode as decodeMessage } from '../../messages/decode.js';
import { encode } from '../../messages/encode.js';
import { crc32 } from '../../rows/checksum.js';
import { nanoseconds } from '../../times.js';
import { corrupt } from '../blocks/block-format.js';
import { entryDamaged } from '../result-errors.js';

type Put = { type: 'put'; key: string; value: Uint8Array };
type Del = { type: 'del'; key: string };
/** A change of the index. */
export type Change = Put | Del;

// No key and no upload id has a control character, so NUL parts a key's fields and sorts before all else.
const CURRENT_PREFIX = 'current\0';
export const currentKey = (key: string) => CURRENT_PREFIX + key;
export const olderKey = (key: string, revision: number) => `older\0${key}\0${digits(revision)}`;
// Uploads lie apart by what became of them: at the start only open ones are read, and only aborted and expired ones expire.
export const uploadKey = (uploadId: string) => `upload\0${uploadId}`;
export const committedKey = (uploadId: string) => `committed\0${uploadId}`;
export const goneKey = (uploadId: string) => `gone\0${uploadId}`;
/** What the names of small results' rows begin with. */
export const INLINE_PREFIX = 'rows\0';
export const inlineKey = (name: string) => INLINE_PREFIX + name;
const timeKey = (order: string, time: Timestamp | undefined, key: string) =>
  `time\0${order}\0${digits(nanoseconds(time))}\0${key}`;
export const changeKey = (number: bigint) => `change\0${digits(number)}`;
export const pendingKey = (number: bigint) => `pending\0${digits(number)}`;
export const META_NUMBER = 'meta\0next-upload-number';
export const META_FORMAT = 'meta\0format';
export const META_TOTALS = 'meta\0totals';
export const digits = (value: number | bigint) => String(value).padStart(20, '0');
/** The number that `digits` wrote; undefined where a name was damaged: one that is no text can't even be deleted by its name. */
export const numberFrom = (text: string) => (/^\d{20}$/.test(text) ? BigInt(text) : undefined);
/** Sorts behind every key that begins as given. */
export const endOf = (prefix: string) => prefix + '\u{10ffff}'.repeat(KEY_BYTES_MAX / 4 + 1);

/** The keys whose newest revisions or markers are changed. */
export function keysOfCurrent(changes: readonly Change[]): string[] {
  const entries = changes.filter(({ key }) => key.startsWith(CURRENT_PREFIX));
  return entries.map(({ key }) => key.slice(CURRENT_PREFIX.length));
}

/** Where a newest revision or marker is found, besides under its key. */
export function placesOf(manifest: Manifest): string[] {
  const places = manifest.kind === RevisionKind.COMMITTED ? timeKeys(manifest) : [];
  if (manifest.changeNumber > 0n) places.push(changeKey(manifest.changeNumber));
  if (manifest.replication === ReplicationState.PENDING) places.push(pendingKey(manifest.changeNumber));
  return places;
}

/** Where a result is found by its times. */
export function timeKeys(manifest: Manifest): string[] {
  return [
    timeKey('commit_time', manifest.commitTime, manifest.key),
    timeKey('update_time', manifest.updateTime, manifest.key),
  ];
}

/** An entry with its CRC-32. */
export function put<Desc extends DescMessage>(key: string, schema: Desc, message: MessageShape<Desc>): Put {
  const value = encode(schema, message, 4);
  value.writeUInt32LE(crc32(value.subarray(4)), 0);
  return { type: 'put', key, value };
}

/** A key's newest; `time` is its place in a list. */
export function decodeCurrent(key: string, value: Uint8Array | undefined, time?: bigint): Manifest | undefined {
  if (value === undefined) return undefined;
  const manifest = checks(value) ? decode(ManifestSchema, value) : undefined;
  // It may check, and be that of another key: its own was damaged.
  if (manifest?.key !== key) throw entryDamaged(key, time);
  return manifest;
}

/** Whether an entry has its CRC-32. */
export function checks(value: Uint8Array): boolean {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return bytes.byteLength >= 4 && crc32(bytes.subarray(4)) === bytes.readUInt32LE(0);
}

/** What an entry says. RESULT_CORRUPT. */
export function decode<Desc extends DescMessage>(
  schema: Desc,
  value: Uint8Array | undefined,
): MessageShape<Desc> | undefined {
  if (value === undefined) return undefined;
  if (!checks(value)) throw corrupt('an entry of the index');
  return decodeMessage(schema, value.subarray(4));
}
