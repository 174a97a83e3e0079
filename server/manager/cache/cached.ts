import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { INLINE_BYTES_MAX } from '../../limits.js';
import type { Batch } from '../../rows/batch.js';
import { schemaOf } from '../../rows/batch.js';
import { selectRows, type Selection } from '../../rows/select.js';
import { afterCommit } from '../after-commit.js';
import type { RoleStore } from '../role-store.js';
import { ServedRows } from '../served-rows.js';
import type { ResultCache } from './result-cache.js';
import { SharedRead } from './shared-read.js';

/** Reads of whole results that fill the cache, each shared by all loads of the same meanwhile. */
class FillingReads {
  private readonly reads = new Map<string, SharedRead>();
  private readingBytes = 0;

  constructor(
    private readonly store: RoleStore,
    private readonly cache: ResultCache,
  ) {}

  /** The read of a revision: one that runs, or a new one; undefined where there is no room for it. */
  of(manifest: Manifest): SharedRead | undefined {
    const name = `${manifest.key}\0${manifest.revision}\0${manifest.uploadId}`;
    const running = this.reads.get(name);
    if (running?.isAlive === true) return running;
    const sizeBytes = Number(manifest.sizeBytes);
    if (!this.cache.accepts(sizeBytes) || this.readingBytes + sizeBytes > this.cache.limitBytes / 2) return undefined;
    this.readingBytes += sizeBytes;
    const read = new SharedRead(
      (signal) => this.store.read(manifest, wholeOf(manifest), signal),
      (batches) => {
        this.readingBytes -= sizeBytes;
        // A save or deletion meanwhile has forgotten it, and is not overtaken.
        if (this.reads.get(name) !== read) return;
        this.reads.delete(name);
        const { revision, uploadId } = manifest;
        if (batches !== undefined) this.cache.set(manifest.key, { revision, uploadId, batches });
      },
    );
    this.reads.set(name, read);
    return read;
  }

  /** Lets a key's rows go, those that are being read too. */
  forget(key: string): void {
    this.cache.delete(key);
    for (const name of this.reads.keys()) if (name.startsWith(`${key}\0`)) this.reads.delete(name);
  }
}

/**
 * Puts a cache before a store. A load of a whole result fills it, and is shared with all that load the
 * same meanwhile; a load of a part is answered by it, but does not fill it. Which revision is the newest
 * is always asked of the store, so that a load never gets an old one.
 */
export function cached(store: RoleStore, cache: ResultCache): RoleStore {
  const filling = new FillingReads(store, cache);
  const forget = (key: string) => filling.forget(key);
  return {
    ...store,
    async openUpload(spec, signal) {
      return afterCommit(await store.openUpload(spec, signal), (manifest) => {
        forget(spec.key);
        return manifest;
      });
    },
    read(manifest, selection, signal) {
      const rows = cache.get(manifest);
      if (rows !== undefined) return new ServedRows(() => 'cache', selected(manifest, rows.batches, selection));
      const shared = fills(manifest, selection) ? filling.of(manifest) : undefined;
      if (shared === undefined) return store.read(manifest, selection, signal);
      return new ServedRows(() => shared.servedFrom, selected(manifest, shared.follow(signal), selection));
    },
    async annotate(key, expectedRevision, edit, signal) {
      const manifest = await store.annotate(key, expectedRevision, edit, signal);
      forget(key);
      return manifest;
    },
    async delete(key, expectedRevision, signal) {
      const revision = await store.delete(key, expectedRevision, signal);
      forget(key);
      return revision;
    },
    async moveOut(key, revision, signal) {
      await store.moveOut(key, revision, signal);
      forget(key);
    },
    async copyIn(manifest, read, options, signal) {
      const copied = await store.copyIn(manifest, read, options, signal);
      forget(manifest.key);
      return copied;
    },
  };
}

function wholeOf(manifest: Manifest): Selection {
  const columns = (manifest.problem?.variables ?? []).map((_, index) => index);
  return { columns, firstRow: 0, rowCount: Number(manifest.rowCount) };
}

/** Whether a load reads the whole result anyway: a small one lies in one value. */
function fills(manifest: Manifest, selection: Selection): boolean {
  const whole = wholeOf(manifest);
  if (selection.rowCount === 0) return false;
  const takesAll = selection.rowCount === whole.rowCount && selection.columns.length === whole.columns.length;
  return takesAll || Number(manifest.sizeBytes) <= INLINE_BYTES_MAX;
}

/** The selected rows of whole batches. */
async function* selected(
  manifest: Manifest,
  batches: Iterable<Batch> | AsyncIterable<Batch>,
  selection: Selection,
): AsyncGenerator<Batch> {
  const schema = schemaOf(manifest.problem?.variables ?? []);
  for await (const batch of batches) {
    const part = selectRows(schema, batch, selection);
    if (part !== undefined) yield part;
  }
}
