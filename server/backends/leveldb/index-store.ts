import { timestampNow } from '@bufbuild/protobuf/wkt';
import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import {
  ManifestSchema,
  RevisionKind,
  UploadOutcome,
  UploadRecordSchema,
} from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { StorageError, unlessDamaged } from '../../errors.js';
import type { ListQuery } from '../backend.js';
import { corrupt } from '../blocks/block-format.js';
import { auditIndex } from './audit-index.js';
import { DurableLevel } from './durable-level.js';
import type { Change } from './index-entries.js';
import {
  changeKey,
  checks,
  committedKey,
  currentKey,
  decode,
  decodeCurrent,
  digits,
  endOf,
  goneKey,
  INLINE_PREFIX,
  inlineKey,
  keysOfCurrent,
  META_FORMAT,
  META_NUMBER,
  META_TOTALS,
  numberFrom,
  olderKey,
  pendingKey,
  placesOf,
  put,
  timeKeys,
  uploadKey,
} from './index-entries.js';
import { isCorrupted } from './level-errors.js';
import { NewestMemo } from './newest-memo.js';
import { Totals, type TotalsPart } from './totals.js';

/**
 * The index: manifests by key and by time, older revisions, uploads and small results, in LevelDB. Values
 * carry a CRC-32, as LevelDB checks its blocks only when told to.
 */
export class IndexStore implements AsyncDisposable {
  private nextNumber = 1;
  private readonly memo = new NewestMemo();
  /** Whether LevelDB found a file of it damaged when it wrote. */
  hasFailed = false;
  /** Whether small results were removed whose room LevelDB still keeps. */
  private hasRemoved = false;

  private constructor(
    private readonly level: DurableLevel,
    private readonly noteFailure: () => Promise<void>,
  ) {}

  /**
   * Opens it, or makes an empty one; `noteFailure` is called when LevelDB finds a file of its own damaged: it takes no more writes.
   * BACKEND_LOCKED where another process has it open.
   */
  static async open(path: string, noteFailure: () => Promise<void>): Promise<IndexStore> {
    return new IndexStore(await DurableLevel.open(path), noteFailure);
  }

  /** Whether nothing was ever written to it. */
  async isNew(): Promise<boolean> {
    if ((await this.level.get(META_FORMAT)) !== undefined) return false;
    for await (const _ of this.level.keys({ gte: '', lt: endOf('') })) return false;
    return true;
  }

  /** Writes what says that this is an index. */
  begin(): Promise<void> {
    return this.level.batch([{ type: 'put', key: META_FORMAT, value: Buffer.from('1') }]);
  }

  /** Compares what its entries say of each other: see auditIndex. */
  async audit(suspects: ReadonlySet<string>): Promise<void> {
    await auditIndex(this.level, suspects);
    // What was damaged is written anew, so that it is not found again.
    await this.compact('');
    await this.begin();
  }

  /** The newest revision or marker of a key: shared, and not to be changed. */
  newest(key: string): Promise<Manifest | undefined> {
    return this.memo.get(key, async () => {
      const value = await this.level.get(currentKey(key));
      return { manifest: decodeCurrent(key, value), byteLength: value?.byteLength ?? 0 };
    });
  }

  /** Whether a key has an entry that does not check. */
  isDamaged(key: string): Promise<boolean> {
    return this.newest(key).then(
      () => false,
      () => true,
    );
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
    const manifest = decode(ManifestSchema, await this.level.get(olderKey(key, revision)));
    if (manifest !== undefined && (manifest.key !== key || manifest.revision !== BigInt(revision)))
      throw corrupt(`revision ${revision} of "${key}"`);
    return manifest;
  }

  /** What is known of an upload. */
  async upload(uploadId: string): Promise<UploadRecord | undefined> {
    const keys = [uploadKey(uploadId), committedKey(uploadId), goneKey(uploadId)];
    const value = (await this.level.getMany(keys)).find((found) => found !== undefined);
    const record = decode(UploadRecordSchema, value);
    if (record !== undefined && record.uploadId !== uploadId) throw corrupt(`the entry of upload ${uploadId}`);
    return record;
  }

  /** The bytes of a small result. */
  async inline(name: string): Promise<Buffer | undefined> {
    const value = await this.level.get(inlineKey(name)).catch((error: unknown) => {
      throw isCorrupted(error) ? corrupt(`the rows ${name} of the index`) : error;
    });
    return value === undefined ? undefined : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }

  /** The number that the next upload may take: greater than any that was written. */
  async nextUploadNumber(): Promise<number> {
    const value = await this.level.get(META_NUMBER);
    if (value !== undefined) this.nextNumber = Math.max(this.nextNumber, Number(Buffer.from(value).toString()));
    return this.nextNumber;
  }

  /** What the newest results are together, as of their last change, and kept from now on; undefined where that is not known. */
  async takeTotals(): Promise<Totals | undefined> {
    const totals = Totals.from(await this.level.get(META_TOTALS));
    if (totals?.newestChange !== (await this.newestChange())) return undefined;
    this.level.keepTotals(totals);
    return totals;
  }

  /** Writes what was counted, and keeps it from now on. */
  async beginTotals(totals: Totals): Promise<void> {
    await this.level.batch([totals.toChange()]);
    this.level.keepTotals(totals);
  }

  /** Says that they are not known. */
  async forgetTotals(): Promise<void> {
    if ((await this.level.get(META_TOTALS)) !== undefined) await this.level.batch([{ type: 'del', key: META_TOTALS }]);
  }

  /** Makes changes, all or none, durable when it returns. `part`: what they add to the totals. */
  async write(changes: Change[], part?: TotalsPart): Promise<void> {
    try {
      await this.memo.whileWritten(keysOfCurrent(changes), () => this.level.batch(changes, part));
    } catch (error) {
      if (!isCorrupted(error)) throw error;
      if (!this.hasFailed) await this.noteFailure();
      this.hasFailed = true;
      throw new StorageError(
        'BACKEND_UNAVAILABLE',
        'The index can not be written: a file of it is damaged. Restart the daemon: the index is mended at the start.',
        { cause: error },
      );
    }
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

  removeCommitted(uploadId: string): Change {
    return { type: 'del', key: committedKey(uploadId) };
  }

  putInline(name: string, image: Uint8Array): Change {
    return { type: 'put', key: inlineKey(name), value: image };
  }

  removeInline(name: string): Change {
    this.hasRemoved = true;
    return { type: 'del', key: inlineKey(name) };
  }

  /** Gives the room of small results back that were removed: LevelDB itself does so when it comes to them. */
  async compactRemoved(): Promise<void> {
    if (!this.hasRemoved) return;
    this.hasRemoved = false;
    await this.compact(INLINE_PREFIX);
  }

  private async compact(prefix: string): Promise<void> {
    await this.level.compact(prefix, endOf(prefix));
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
    for await (const place of this.level.keys({ gt: changeKey(0n), lt: endOf('change\0'), reverse: true })) {
      const number = numberFrom(place.slice('change\0'.length));
      if (number !== undefined) return number;
    }
    return 0n;
  }

  removeOlder(manifest: Manifest): Change {
    return { type: 'del', key: olderKey(manifest.key, Number(manifest.revision)) };
  }

  /** Uploads that are open, or ended without a result; those whose entries check. */
  async *uploads(which: 'open' | 'gone'): AsyncGenerator<UploadRecord> {
    const from = which === 'open' ? uploadKey('') : goneKey('');
    for await (const [place, value] of this.level.iterator({ gte: from, lt: endOf(from) })) {
      const record = checks(value) ? decode(UploadRecordSchema, value) : undefined;
      if (record !== undefined && from + record.uploadId === place) yield record;
    }
  }

  /** Whether the entry of an open upload does not check. */
  async hasDamagedUploads(): Promise<boolean> {
    const from = uploadKey('');
    for await (const [place, value] of this.level.iterator({ gte: from, lt: endOf(from) }))
      if (!checks(value) || from + (decode(UploadRecordSchema, value)?.uploadId ?? '') !== place) return true;
    return false;
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
      const key = place.slice(from.length);
      const manifest = checks(value) ? decode(ManifestSchema, value) : undefined;
      yield manifest?.key === key ? manifest : { damagedKey: key };
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
      yield this.listed(place.slice(currentKey('').length), value) as Manifest;
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
      const time = numberFrom(place.slice(from.length, from.length + 20));
      if (time === undefined || !key.startsWith(query.prefix)) continue;
      const manifest = this.listed(key, await this.level.get(currentKey(key)), time);
      // The iterator sees the index as it was; what changed since has another place now, or none.
      if (manifest !== undefined && timeKeys(manifest).includes(place)) yield manifest;
    }
  }

  /** An entry that a list has read. One that is damaged since it was last looked up is found so by lookups too. */
  private listed(key: string, value: Uint8Array | undefined, time?: bigint): Manifest | undefined {
    try {
      return decodeCurrent(key, value, time);
    } catch (error) {
      this.memo.forget(key);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.level[Symbol.asyncDispose]();
  }
}
