import { create } from '@bufbuild/protobuf';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ManifestSchema, RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import { toStorageError } from '../errors.js';
import { noRows } from './read-whole.js';
import type { RoleStore } from './role-store.js';

/**
 * Says in a store that another one has a revision, on purpose: nobody takes it for lost, and what follows gets a greater number. Nothing
 * is said where the store has that revision itself, or a newer one: then it has come (back) meanwhile.
 */
export async function markMoved(
  store: Pick<RoleStore, 'copyIn'>,
  { key, revision, uploadId, updateTime }: Manifest,
  signal: AbortSignal,
): Promise<void> {
  const marker = create(ManifestSchema, {
    ...{ key, revision, uploadId, kind: RevisionKind.MOVED, replication: ReplicationState.NONE },
    ...(updateTime && { updateTime }),
  });
  try {
    await store.copyIn(marker, noRows, { replace: false }, signal);
  } catch (error) {
    if (toStorageError(error).reason !== 'REVISION_MISMATCH') throw error;
  }
}
