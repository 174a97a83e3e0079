import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ListQuery, StorageBackend, Upload, UploadSpec, UploadState } from '../../backends/backend.js';
import { checkRevision } from '../../backends/revisions.js';
import { StorageError } from '../../errors.js';
import { closeAll } from '../close-all.js';
import type { ListedResults } from '../listed-results.js';
import type { Origins } from '../origins.js';
import { newestOf } from '../repair/repair-copy.js';
import type { RoleStore } from '../role-store.js';
import { ServedRows } from '../served-rows.js';
import { mergeSorted } from './merge-sorted.js';
import { mergedLists } from './merged-lists.js';
import { PinnedSaves } from './pinned-saves.js';

/** A store before which results lie that are in the cache alone. */
export interface PinnedStore extends RoleStore {
  /** Opens an upload to the cache alone, or resumes one where it was begun. REVISION_MISMATCH, MEMORY_LIMIT. */
  openPinned(spec: UploadSpec, signal: AbortSignal): Promise<Upload>;
  /** Whether an upload's rows are gone with the process. */
  isVolatile(upload: Upload): boolean;
}

/**
 * Puts results that were saved or migrated to the cache alone before a store: they are served, listed, changed and deleted as all
 * others. What is told of changes is the store's alone.
 */
export function pinned(store: RoleStore, pins: StorageBackend, origins: Origins): PinnedStore {
  const saves = new PinnedSaves(store, pins, origins);
  return {
    ...store,
    openUpload: (spec, signal) => saves.open(spec, signal),
    openPinned: (spec, signal) => saves.openPinned(spec, signal),
    isVolatile: (upload) => saves.isVolatile(upload),
    uploads: (query, signal) => mergedUploads(pins.uploads(query, signal), store.uploads(query, signal)),
    viewUpload: (uploadId, signal) =>
      whereUploadIs(pins, store, async (where) => {
        const view = await where.viewUpload(uploadId, signal);
        return where === pins ? { ...view, manifest: origins.mark(view.manifest, 'cache') } : view;
      }),
    abortUpload: (uploadId, signal) => whereUploadIs(pins, store, (where) => where.abortUpload(uploadId, signal)),
    async stat(key, revision, signal) {
      const pin = await pinAt(pins, key, revision, signal);
      return pin === undefined ? store.stat(key, revision, signal) : origins.mark(pin, 'cache');
    },
    read(manifest, selection, signal) {
      if (origins.of(manifest).role !== 'cache') return store.read(manifest, selection, signal);
      return new ServedRows(() => 'cache', pins.read(manifest, selection, signal));
    },
    locate: (manifest, selection, signal) =>
      origins.of(manifest).role === 'cache' ? undefined : store.locate(manifest, selection, signal),
    list(query, signal) {
      const below = store.list(query, signal);
      const above = markedPins(pins, origins, query, signal);
      const shows = async ({ key }: Manifest) => (await saves.pinOf(key, signal)) === undefined;
      const results = mergedLists(query, above, below, shows);
      const list: ListedResults = { unreachable: below.unreachable, [Symbol.asyncIterator]: () => results };
      return list;
    },
    async annotate(key, expectedRevision, edit, signal) {
      if ((await saves.pinOf(key, signal)) === undefined) return store.annotate(key, expectedRevision, edit, signal);
      return origins.mark(await pins.annotate(key, expectedRevision, edit, signal), 'cache');
    },
    async delete(key, expectedRevision, signal) {
      const pin = await saves.pinOf(key, signal);
      if (pin === undefined) return store.delete(key, expectedRevision, signal);
      checkRevision(key, expectedRevision, Number(pin.revision));
      const below = await newestOf(store, key, signal);
      const isBelow = below?.kind === RevisionKind.COMMITTED;
      const revision = isBelow ? await store.delete(key, undefined, signal) : 0;
      const above = await pins.delete(key, Number(pin.revision), signal);
      // Both are deleted; where the store can't take the number now, the next save of the key brings it.
      if (above > revision && isBelow) await saves.bringDown(key, signal).catch(() => undefined);
      return Math.max(revision, above);
    },
    [Symbol.asyncDispose]: () => closeAll([pins, store]),
  };
}

/** Asks the cache for an upload, and where it does not know it, the store. */
async function whereUploadIs<T>(
  pins: StorageBackend,
  store: StorageBackend,
  ask: (where: StorageBackend) => Promise<T>,
): Promise<T> {
  try {
    return await ask(pins);
  } catch (error) {
    if (!(error instanceof StorageError) || error.reason !== 'UPLOAD_NOT_FOUND') throw error;
    return ask(store);
  }
}

/** The pinned result of a key: the newest, or the revision asked for. */
async function pinAt(
  pins: StorageBackend,
  key: string,
  revision: number | undefined,
  signal: AbortSignal,
): Promise<Manifest | undefined> {
  try {
    const pin = await pins.stat(key, revision, signal);
    return pin.kind === RevisionKind.COMMITTED ? pin : undefined;
  } catch (error) {
    const isAbsent =
      error instanceof StorageError && (error.reason === 'RESULT_NOT_FOUND' || error.reason === 'REVISION_NOT_FOUND');
    if (isAbsent) return undefined;
    throw error;
  }
}

async function* markedPins(
  pins: StorageBackend,
  origins: Origins,
  query: ListQuery,
  signal: AbortSignal,
): AsyncGenerator<Manifest> {
  for await (const pin of pins.list(query, signal)) yield origins.mark(pin, 'cache');
}

async function* mergedUploads(
  above: AsyncIterable<UploadState>,
  below: AsyncIterable<UploadState>,
): AsyncGenerator<UploadState> {
  const compare = (a: UploadState, b: UploadState) => (a.uploadId < b.uploadId ? -1 : a.uploadId > b.uploadId ? 1 : 0);
  for await (const { item } of mergeSorted(above, below, compare)) yield item;
}
