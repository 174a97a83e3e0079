import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { fromBinary, toBinary, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import { timestampNow, type Timestamp } from '@bufbuild/protobuf/wkt';
import { Level } from 'level';
import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import {
  ManifestSchema,
  RevisionKind,
  UploadOutcome,
  UploadRecordSchema,
} from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { crc32 } from '../../rows/checksum.js';
import { StorageError, unlessDamaged } from '../../errors.js';
import { KEY_BYTES_MAX } from '../../limits.js';
import type { ListQuery } from '../backend.js';
import { nanoseconds } from '../../times.js';
import { syncDirectoryOf, syncFolder } from '../files.js';
import { entryDamaged } from '../result-errors.js';
import { corrupt } from '../blocks/block-format.js';

type Put = { type: 'put'; key: string; value: Uint8Array };
type Del = { type: 'del'; key: string };
/** A change of the index. */
export type Change = Put | Del;

// No key and no upload id has a control character, so NUL parts a key's fields and sorts before all else.
const currentKey = (key: string) => `current\0${key}`;
const olderKey = (key: string, revision: number) => `older\0${key}\0${digits(revision)}`;
// Uploads lie apart by what became of them: at the start only open ones are read, and only aborted and expired ones expire.
const uploadKey = (uploadId: string) => `upload\0${uploadId}`;
const committedKey = (uploadId: string) => `committed\0${uploadId}`;
const goneKey = (uploadId: string) => `gone\0${uploadId}`;
const inlineKey = (name: string) => `rows\0${name}`;
const timeKey = (order: string, time: Timestamp | undefined, key: string) =>
  `time\0${order}\0${digits(nanoseconds(time))}\0${key}`;
const changeKey = (number: bigint) => `change\0${digits(number)}`;
const pendingKey = (number: bigint) => `pending\0${digits(number)}`;
const META_NUMBER = 'meta\0next-upload-number';
const META_FORMAT = 'meta\0format';
const digits = (value: number | bigint) => String(value).padStart(20, '0');
/** Sorts behind every key that begins as given. */
const endOf = (prefix: string) => prefix + '\u{10ffff}'.repeat(KEY_BYTES_MAX / 4 + 1);

const levelAt = (path: string) => new Level<string, Uint8Array>(path, { keyEncoding: 'utf8', valueEncoding: 'view' });

/**
 * Makes an index where there is none, under another name first: LevelDB does not sync the first manifest that it writes,
 * and a power cut would leave a folder that can't be opened. Says whether it made one.
 */
async function makeIndex(path: string): Promise<boolean> {
  if (existsSync(path)) return false;
  const temporary = `${path}.new`;
  await rm(temporary, { recursive: true, force: true });
  const level = levelAt(temporary);
  await level.open();
  await level.put(META_FORMAT, Buffer.from('1'), { sync: true });
  await level.close();
  await syncFolder(temporary);
  await rename(temporary, path);
  await syncDirectoryOf(path);
  return true;
}

/**
 * The index: manifests by key and by time, older revisions, uploads and small results, in LevelDB. Values
 * carry a CRC-32, as LevelDB checks its blocks only when told to.
 */
export class IndexStore implements AsyncDisposable {
  private nextNumber = 1;

  private constructor(private readonly level: Level<string, Uint8Array>) {}

  /** Opens or creates it. BACKEND_LOCKED where another process has it open. */
  static async open(path: string): Promise<{ index: IndexStore; isNew: boolean }> {
    let isNew = false;
    let level: Level<string, Uint8Array>;
    try {
      isNew = await makeIndex(path);
      // It opens by itself, and makes a folder, from when there is an object of it.
      level = levelAt(path);
      await level.open();
      // LevelDB leaves the name of its newest manifest to chance.
      await syncFolder(path);
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      if (cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED') {
        throw new StorageError(
          'BACKEND_LOCKED',
          `Another process has the store at ${path} open. One daemon at a time serves a store: stop the other one, or give this one a path of its own.`,
          { cause: error },
        );
      }
      throw new StorageError(
        'BACKEND_UNAVAILABLE',
        `The index at ${path} can't be opened: ${String(cause ?? error)}.`,
        {
          cause: error,
        },
      );
    }
    const index = new IndexStore(level);
    const isEmpty = (await level.get(META_FORMAT)) === undefined;
    if (isEmpty) await level.put(META_FORMAT, Buffer.from('1'), { sync: true });
    return { index, isNew: isNew || isEmpty };
  }

  /** The newest revision or marker of a key. */
  async newest(key: string): Promise<Manifest | undefined> {
    return decodeCurrent(key, await this.level.get(currentKey(key)));
  }

  /** The newest revisions or markers of some keys, those that there are. */
  async *currentOf(keys: Iterable<string>): AsyncGenerator<Manifest> {
    for (const key of keys) {
      const manifest = await this.newest(key);
      if (manifest !== undefined) yield manifest;
    }
  }

  /** A superseded or deleted revision that is still kept. */
  async older(key: string, revision: number): Promise<Manifest | undefined> {
    return decode(ManifestSchema, await this.level.get(olderKey(key, revision)));
  }

  /** What is known of an upload. */
  async upload(uploadId: string): Promise<UploadRecord | undefined> {
    const keys = [uploadKey(uploadId), committedKey(uploadId), goneKey(uploadId)];
    const value = (await this.level.getMany(keys)).find((found) => found !== undefined);
    return decode(UploadRecordSchema, value);
  }

  /** The bytes of a small result. */
  async inline(name: string): Promise<Buffer | undefined> {
    const value = await this.level.get(inlineKey(name));
    return value === undefined ? undefined : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }

  /** The number that the next upload may take: greater than any that was written. */
  async nextUploadNumber(): Promise<number> {
    const value = await this.level.get(META_NUMBER);
    if (value !== undefined) this.nextNumber = Math.max(this.nextNumber, Number(Buffer.from(value).toString()));
    return this.nextNumber;
  }

  /** Makes changes, all or none, durable when it returns. */
  async write(changes: Change[]): Promise<void> {
    await this.level.batch(changes, { sync: true });
  }

  putUpload(record: UploadRecord): Change[] {
    this.nextNumber = Math.max(this.nextNumber, record.number + 1);
    const { uploadId } = record;
    const isOpen = record.outcome === UploadOutcome.UNSPECIFIED;
    const endedKey = record.outcome === UploadOutcome.COMMITTED ? committedKey(uploadId) : goneKey(uploadId);
    return [
      put(isOpen ? uploadKey(uploadId) : endedKey, UploadRecordSchema, record),
      ...(isOpen ? [] : [{ type: 'del' as const, key: uploadKey(uploadId) }]),
      { type: 'put', key: META_NUMBER, value: Buffer.from(String(this.nextNumber)) },
    ];
  }

  removeUpload(uploadId: string): Change[] {
    return [uploadKey(uploadId), goneKey(uploadId)].map((key) => ({ type: 'del', key }));
  }

  putInline(name: string, image: Uint8Array): Change {
    return { type: 'put', key: inlineKey(name), value: image };
  }

  removeInline(name: string): Change {
    return { type: 'del', key: inlineKey(name) };
  }

  /** Makes a manifest its key's newest; the one before is kept as an older one. */
  replaceCurrent(next: Manifest, before: Manifest | undefined): Change[] {
    const changes: Change[] = [put(currentKey(next.key), ManifestSchema, next)];
    if (before?.kind === RevisionKind.COMMITTED) {
      changes.push(
        // Not the time of the next one: that may be a copy of a revision which is older.
        put(olderKey(before.key, Number(before.revision)), ManifestSchema, {
          ...before,
          supersededTime: timestampNow(),
        }),
      );
    }
    if (before !== undefined) for (const key of placesOf(before)) changes.push({ type: 'del', key });
    for (const key of placesOf(next)) changes.push({ type: 'put', key, value: Buffer.from(next.key) });
    return changes;
  }

  /** Puts a manifest in the place of the same revision: its replication state or its change number differs. */
  replaceInPlace(next: Manifest, before: Manifest): Change[] {
    const changes: Change[] = [put(currentKey(next.key), ManifestSchema, next)];
    for (const key of placesOf(before)) changes.push({ type: 'del', key });
    for (const key of placesOf(next)) changes.push({ type: 'put', key, value: Buffer.from(next.key) });
    return changes;
  }

  /** Newest revisions and markers in the order of their changes, above a number; or only those that are pending. */
  async *changes(after: bigint, pending: boolean): AsyncGenerator<Manifest> {
    const keyOf = pending ? pendingKey : changeKey;
    const range = { gt: keyOf(after), lt: endOf(pending ? 'pending\0' : 'change\0') };
    for await (const [place, value] of this.level.iterator(range)) {
      const manifest = await unlessDamaged(this.newest(Buffer.from(value).toString()));
      // The iterator sees the index as it was; what changed since has another number, or is no longer pending.
      if (manifest !== undefined && placesOf(manifest).includes(place)) yield manifest;
    }
  }

  /** The greatest change number; 0 where there is none. */
  async newestChange(): Promise<bigint> {
    for await (const place of this.level.keys({ gt: changeKey(0n), lt: endOf('change\0'), reverse: true, limit: 1 }))
      return BigInt(place.slice('change\0'.length));
    return 0n;
  }

  removeOlder(manifest: Manifest): Change {
    return { type: 'del', key: olderKey(manifest.key, Number(manifest.revision)) };
  }

  /** Uploads that are open, or ended without a result. */
  async *uploads(which: 'open' | 'gone'): AsyncGenerator<UploadRecord> {
    const from = which === 'open' ? uploadKey('') : goneKey('');
    for await (const value of this.level.values({ gte: from, lt: endOf(from) }))
      yield decode(UploadRecordSchema, value) as UploadRecord;
  }

  /** Superseded revisions of one key that are kept and check. */
  async *olderOf(key: string): AsyncGenerator<Manifest> {
    const range = { gte: olderKey(key, 0), lt: endOf(`older\0${key}\0`) };
    for await (const manifest of this.entries(range)) if (manifest !== undefined) yield manifest;
  }

  /** All superseded revisions that are kept. Undefined: one that does not check. */
  olderRevisions(): AsyncGenerator<Manifest | undefined> {
    return this.entries({ gte: 'older\0', lt: endOf('older\0') });
  }

  /** All newest revisions and markers; of those that do not check, the keys. */
  async *newestRevisions(): AsyncGenerator<Manifest | { readonly damagedKey: string }> {
    const from = currentKey('');
    for await (const [place, value] of this.level.iterator({ gte: from, lt: endOf(from) })) {
      const manifest = checks(value) ? decode(ManifestSchema, value) : undefined;
      yield manifest ?? { damagedKey: place.slice(from.length) };
    }
  }

  private async *entries(range: { gte: string; lt: string }): AsyncGenerator<Manifest | undefined> {
    for await (const value of this.level.values(range)) yield checks(value) ? decode(ManifestSchema, value) : undefined;
  }

  /** Newest revisions and markers in the order asked for. */
  async *list(query: Pick<ListQuery, 'prefix' | 'orderBy' | 'descending' | 'after'>): AsyncGenerator<Manifest> {
    if (query.orderBy === 'key') yield* this.listByKey(query);
    else yield* this.listByTime(query);
  }

  private async *listByKey(query: Pick<ListQuery, 'prefix' | 'descending' | 'after'>): AsyncGenerator<Manifest> {
    const from = currentKey(query.prefix);
    const after = query.after === undefined ? undefined : currentKey(query.after.key);
    const range = {
      ...(after !== undefined && !query.descending ? { gt: after } : { gte: from }),
      ...(after !== undefined && query.descending ? { lt: after } : { lt: endOf(from) }),
      reverse: query.descending,
    };
    for await (const [place, value] of this.level.iterator(range))
      yield decodeCurrent(place.slice(currentKey('').length), value) as Manifest;
  }

  private async *listByTime(
    query: Pick<ListQuery, 'prefix' | 'orderBy' | 'descending' | 'after'>,
  ): AsyncGenerator<Manifest> {
    const from = `time\0${query.orderBy}\0`;
    const after = query.after && `${from}${digits(query.after.time)}\0${query.after.key}`;
    const range = {
      ...(after !== undefined && !query.descending ? { gt: after } : { gte: from }),
      ...(after !== undefined && query.descending ? { lt: after } : { lt: endOf(from) }),
      reverse: query.descending,
    };
    for await (const place of this.level.keys(range)) {
      const key = place.slice(from.length + 21);
      if (!key.startsWith(query.prefix)) continue;
      const time = BigInt(place.slice(from.length, from.length + 20));
      const manifest = decodeCurrent(key, await this.level.get(currentKey(key)), time);
      // The iterator sees the index as it was; what changed since has another place now, or none.
      if (manifest !== undefined && timeKeys(manifest).includes(place)) yield manifest;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.level.close();
  }
}

/** Where a newest revision or marker is found, besides under its key. */
function placesOf(manifest: Manifest): string[] {
  const places = manifest.kind === RevisionKind.COMMITTED ? timeKeys(manifest) : [];
  if (manifest.changeNumber > 0n) places.push(changeKey(manifest.changeNumber));
  if (manifest.replication === ReplicationState.PENDING) places.push(pendingKey(manifest.changeNumber));
  return places;
}

function timeKeys(manifest: Manifest): string[] {
  return [
    timeKey('commit_time', manifest.commitTime, manifest.key),
    timeKey('update_time', manifest.updateTime, manifest.key),
  ];
}

function put<Desc extends DescMessage>(key: string, schema: Desc, message: MessageShape<Desc>): Put {
  const bytes = toBinary(schema, message);
  const value = Buffer.allocUnsafe(4 + bytes.byteLength);
  value.writeUInt32LE(crc32(bytes), 0);
  value.set(bytes, 4);
  return { type: 'put', key, value };
}

/** A key's newest; `time` is its place in a list. */
function decodeCurrent(key: string, value: Uint8Array | undefined, time?: bigint): Manifest | undefined {
  if (value !== undefined && !checks(value)) throw entryDamaged(key, time);
  return decode(ManifestSchema, value);
}

function checks(value: Uint8Array): boolean {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return bytes.byteLength >= 4 && crc32(bytes.subarray(4)) === bytes.readUInt32LE(0);
}

function decode<Desc extends DescMessage>(schema: Desc, value: Uint8Array | undefined): MessageShape<Desc> | undefined {
  if (value === undefined) return undefined;
  if (!checks(value)) throw corrupt('an entry of the index');
  return fromBinary(schema, value.subarray(4));
}
