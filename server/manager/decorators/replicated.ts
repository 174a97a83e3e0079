import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationMode, ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { afterCommit } from '../after-commit.js';
import type { Mirroring } from '../replication/mirroring.js';
import type { Outbox } from '../replication/outbox.js';
import type { RoleStore } from '../role-store.js';

/** How changes of a primary reach the secondary. */
export interface Replication {
  readonly outbox: Outbox;
  readonly mirroring: Mirroring;
  /** Of changes that don't say it themselves. */
  readonly mode: ReplicationMode;
}

/**
 * Sends changes of the primary to the secondary: a change that the primary made PENDING is copied at once where it is SYNC, else by
 * the outbox. It never fails for want of the secondary: what could not be copied stays PENDING. Reads are the primary's own.
 */
export function replicated(primary: RoleStore, { outbox, mirroring, mode }: Replication): RoleStore {
  const NOT_CANCELLED = new AbortController().signal;
  const settle = async (manifest: Manifest, isSync: boolean): Promise<Manifest> => {
    const { key, revision } = manifest;
    let { replication } = manifest;
    if (mirroring.isOn && replication !== ReplicationState.PENDING) {
      replication = ReplicationState.PENDING;
      await primary.setReplication(key, revision, replication, NOT_CANCELLED);
    }
    if (replication !== ReplicationState.PENDING) return manifest;
    const isCopied = isSync && (await outbox.copyNow(manifest, NOT_CANCELLED));
    if (!isCopied) outbox.ring(manifest);
    // Its state is another now; where it can't be asked any more, what was told is still true.
    return isCopied ? primary.stat(key, Number(revision), NOT_CANCELLED).catch(() => manifest) : manifest;
  };
  const isSync = mode === ReplicationMode.SYNC;
  return {
    ...primary,
    async openUpload(spec, signal) {
      const upload = await primary.openUpload(spec, signal);
      // Of one that was committed before, the answer is repeated.
      if (upload.committed !== undefined) return upload;
      return afterCommit(upload, (manifest) => settle(manifest, upload.replication === ReplicationMode.SYNC));
    },
    async annotate(key, expectedRevision, edit, signal) {
      return settle(await primary.annotate(key, expectedRevision, edit, signal), isSync);
    },
    async delete(key, expectedRevision, signal) {
      const revision = await primary.delete(key, expectedRevision, signal);
      // The deletion is made: what is not known of its copy now, the outbox finds.
      const marker = await primary.stat(key, undefined, NOT_CANCELLED).catch(() => undefined);
      if (marker !== undefined) await settle(marker, isSync).catch(() => outbox.ring());
      return revision;
    },
    async copyIn(manifest, read, options, signal) {
      const copy = await primary.copyIn(manifest, read, options, signal);
      if (copy.replication === ReplicationState.PENDING) outbox.ring(copy);
      return copy;
    },
    [Symbol.asyncDispose]: () => primary[Symbol.asyncDispose](),
  };
}
