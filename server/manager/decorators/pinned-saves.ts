import { randomUUID } from 'node:crypto';
import { clone, create } from '@bufbuild/protobuf';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ManifestSchema, RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend, Upload, UploadSpec } from '../../backends/backend.js';
import { checkRevision, committedRevision, isSameRevision } from '../../backends/revisions.js';
import { StorageError } from '../../errors.js';
import { withCommit } from '../after-commit.js';
import type { Origins } from '../origins.js';
import { noRows, rowsOf } from '../read-whole.js';
import { newestOf } from '../repair/repair-copy.js';
import { isUnavailable, type RoleStore } from '../role-store.js';

/** Saves where results may be pinned in the cache: revisions of a key grow in one order, in the cache and below it. */
export class PinnedSaves {
  private readonly uploads = new WeakSet<Upload>();

  constructor(
    private readonly store: RoleStore,
    private readonly pins: StorageBackend,
    private readonly origins: Origins,
  ) {}

  /** Whether an upload's rows are gone with the process. */
  isVolatile(upload: Upload): boolean {
    return this.uploads.has(upload);
  }

  /** The result that is pinned under a key. */
  async pinOf(key: string, signal: AbortSignal): Promise<Manifest | undefined> {
    const pin = await newestOf(this.pins, key, signal);
    return pin?.kind === RevisionKind.COMMITTED ? this.origins.mark(pin, 'cache') : undefined;
  }

  /** Opens an upload to the store, or resumes one where it was begun. What is pinned under its key goes to the store first. */
  async open(spec: UploadSpec, signal: AbortSignal): Promise<Upload> {
    const begun = await this.begunIn(this.pins, spec, signal);
    if (begun !== undefined) return this.asPinned(begun, spec, signal);
    await this.bringDown(spec.key, signal);
    return this.asStored(await this.store.openUpload(spec, signal), signal);
  }

  /** Opens an upload to the cache, or resumes one where it was begun. */
  async openPinned(spec: UploadSpec, signal: AbortSignal): Promise<Upload> {
    const begun = await this.begunIn(this.store, spec, signal);
    if (begun !== undefined) return this.asStored(begun, signal);
    if ((await this.begunIn(this.pins, spec, signal)) === undefined) await this.checkNew(spec, signal);
    return this.asPinned(await this.pins.openUpload({ ...spec, expectedRevision: undefined }, signal), spec, signal);
  }

  private async checkNew({ key, expectedRevision, append }: UploadSpec, signal: AbortSignal): Promise<void> {
    checkRevision(key, expectedRevision, await this.newestRevision(key, signal));
    if (!append || (await this.pinOf(key, signal)) !== undefined) return;
    throw new StorageError(
      'REQUEST_INVALID',
      `"${key}" is not in the cache alone, so it can't be extended there. Leave to_backend out: an append goes where the result is.`,
    );
  }

  /** An upload in the store where it was begun, open or ended. */
  private async begunIn(where: StorageBackend, spec: UploadSpec, signal: AbortSignal): Promise<Upload | undefined> {
    try {
      const known = { ...spec, problem: undefined, expectedRevision: undefined, append: false };
      await (await where.openUpload(known, signal))[Symbol.asyncDispose]();
    } catch (error) {
      if (error instanceof StorageError && error.reason === 'UPLOAD_NOT_FOUND') return undefined;
      // A volatile save does not need a store that is down.
      if (where === this.store && isUnavailable(error)) return undefined;
      throw error;
    }
    return where.openUpload(spec, signal);
  }

  /** The revision that a key shows: 0 where it shows none. */
  private async newestRevision(key: string, signal: AbortSignal): Promise<number> {
    return committedRevision((await this.pinOf(key, signal)) ?? (await this.below(key, signal)));
  }

  private async below(key: string, signal: AbortSignal): Promise<Manifest | undefined> {
    try {
      return await newestOf(this.store, key, signal);
    } catch (error) {
      if (isUnavailable(error)) return undefined;
      throw error;
    }
  }

  /** What was pinned while the upload was open is older than what it commits. */
  private asStored(upload: Upload, signal: AbortSignal): Upload {
    if (upload.committed !== undefined) return upload;
    return withCommit(upload, async (commit) => {
      await this.bringDown(upload.key, signal);
      return upload.commit(commit);
    });
  }

  /** Takes a pinned result to the store; of one that was deleted the number, so that it is not given again. */
  async bringDown(key: string, signal: AbortSignal): Promise<void> {
    const above = await newestOf(this.pins, key, signal);
    if (above === undefined || above.kind === RevisionKind.MOVED) return;
    const below = await newestOf(this.store, key, signal);
    if (above.kind === RevisionKind.DELETED) {
      if (below?.kind === RevisionKind.COMMITTED || (below !== undefined && below.revision >= above.revision)) return;
      await this.store.copyIn(above, noRows, { replace: false }, signal);
      return;
    }
    if (below === undefined || !isSameRevision(below, above)) {
      // The store could not be asked when it was pinned, and has got as far by itself.
      const source = clone(ManifestSchema, above);
      if (below !== undefined && below.revision >= above.revision) source.revision = below.revision + 1n;
      await this.store.copyIn(source, rowsOf(this.pins, above), { replace: false }, signal);
    }
    await this.pins.moveOut(key, Number(above.revision), signal);
  }

  private asPinned(upload: Upload, spec: UploadSpec, signal: AbortSignal): Upload {
    const { key, expectedRevision } = spec;
    const pinned = withCommit(upload, async (commit) => {
      if (upload.committed === undefined) {
        checkRevision(key, expectedRevision, await this.newestRevision(key, signal));
        await this.followStore(key, signal);
      }
      return this.origins.mark(await upload.commit(commit), 'cache');
    });
    this.uploads.add(pinned);
    return pinned;
  }

  /** The next pinned revision is greater than any that the store has. */
  private async followStore(key: string, signal: AbortSignal): Promise<void> {
    const [below, above] = [await this.below(key, signal), await newestOf(this.pins, key, signal)];
    if (below === undefined || (above !== undefined && above.revision >= below.revision)) return;
    const { revision } = below;
    const marker = { key, kind: RevisionKind.DELETED, revision, uploadId: randomUUID(), updateTime: timestampNow() };
    await this.pins.copyIn(create(ManifestSchema, marker), noRows, { replace: false }, signal);
  }
}
