import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend } from '../backends/backend.js';
import type { Batch } from '../rows/batch.js';
import type { Selection } from '../rows/select.js';

/** What a store is to the manager. */
export type Role = 'primary' | 'cache';

/** Rows on their way, and who serves them. */
export class ServedRows implements AsyncIterable<Batch> {
  constructor(
    readonly servedFrom: Role,
    private readonly batches: AsyncIterable<Batch>,
  ) {}

  [Symbol.asyncIterator](): AsyncIterator<Batch> {
    return this.batches[Symbol.asyncIterator]();
  }
}

/** A store that says which role served a read. */
export interface RoleStore extends StorageBackend {
  read(manifest: Manifest, selection: Selection, signal: AbortSignal): ServedRows;
}

/** Gives a backend its role. */
export function inRole(role: Role, backend: StorageBackend): RoleStore {
  return {
    capabilities: backend.capabilities,
    openUpload: (spec, signal) => backend.openUpload(spec, signal),
    uploads: (query, signal) => backend.uploads(query, signal),
    viewUpload: (uploadId, signal) => backend.viewUpload(uploadId, signal),
    abortUpload: (uploadId, signal) => backend.abortUpload(uploadId, signal),
    stat: (key, revision, signal) => backend.stat(key, revision, signal),
    read: (manifest, selection, signal) => new ServedRows(role, backend.read(manifest, selection, signal)),
    list: (query, signal) => backend.list(query, signal),
    changes: (query, signal) => backend.changes(query, signal),
    changeNumbers: (signal) => backend.changeNumbers(signal),
    annotate: (key, expectedRevision, edit, signal) => backend.annotate(key, expectedRevision, edit, signal),
    delete: (key, expectedRevision, signal) => backend.delete(key, expectedRevision, signal),
    moveOut: (key, revision, signal) => backend.moveOut(key, revision, signal),
    copyIn: (manifest, read, options, signal) => backend.copyIn(manifest, read, options, signal),
    setReplication: (key, revision, state, signal) => backend.setReplication(key, revision, state, signal),
    stats: (signal) => backend.stats(signal),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
  };
}
