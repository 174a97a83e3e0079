import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import { checkRevision, haveSameRows } from '../backends/revisions.js';
import { StorageError } from '../errors.js';
import { newestOf } from './repair/repair-copy.js';
import { rolesOf, storeOf, type Role, type Stores } from './stores.js';
import { UNHURRIED } from './verification/pace.js';
import { verifyCopy } from './verification/verify-copy.js';

/** A copy of a result in one of the stores. */
export interface PlacedCopy {
  readonly role: Role;
  readonly manifest: Manifest;
}

/** The copies of a result in the stores that can be asked. */
export async function placementsOf(stores: Stores, key: string, signal: AbortSignal): Promise<PlacedCopy[]> {
  return copiesIn(rolesOf(stores), stores, key, signal);
}

/** The same where one of them was served already: its store is not asked again. */
export async function placementsBeside(served: PlacedCopy, stores: Stores, signal: AbortSignal): Promise<PlacedCopy[]> {
  // What the cache has is served before all else: it has no copy of what came from elsewhere.
  const others = rolesOf(stores).filter((role) => role !== served.role && role !== 'cache');
  const copies = [served, ...(await copiesIn(others, stores, served.manifest.key, signal))];
  return rolesOf(stores).flatMap((role) => copies.find((copy) => copy.role === role) ?? []);
}

async function copiesIn(
  roles: readonly Role[],
  stores: Stores,
  key: string,
  signal: AbortSignal,
): Promise<PlacedCopy[]> {
  const copies = roles.map(async (role): Promise<PlacedCopy | undefined> => {
    const manifest = await newestOf(storeOf(stores, role), key, signal).catch(() => undefined);
    return manifest?.kind === RevisionKind.COMMITTED ? { role, manifest } : undefined;
  });
  return (await Promise.all(copies)).filter((copy) => copy !== undefined);
}

/**
 * Removes one copy of a result, on purpose: it is not repaired. Another store must have the same revision, which is read whole before
 * anything is removed. Gives the revision. RESULT_NOT_FOUND, REVISION_MISMATCH, RESULT_CORRUPT, NO_SECONDARY.
 */
export async function removeCopy(
  stores: Stores,
  key: string,
  role: Role,
  expectedRevision: number | undefined,
  signal: AbortSignal,
): Promise<number> {
  const store = storeOf(stores, role);
  const copies = await placementsOf(stores, key, signal);
  const own = copies.find((copy) => copy.role === role)?.manifest;
  if (own === undefined) throw new StorageError('RESULT_NOT_FOUND', `The ${role} has no copy of "${key}".`);
  const revision = Number(own.revision);
  checkRevision(key, expectedRevision, revision);
  const other = copies.find(
    (copy) => copy.role !== role && storeOf(stores, copy.role).capabilities.durable && isCopy(copy, own),
  );
  if (other === undefined) {
    throw new StorageError(
      'RESULT_NOT_FOUND',
      `No other durable store has revision ${revision} of "${key}": its only copy is kept. Replicate or migrate it first, or delete the result everywhere.`,
    );
  }
  const { fault } = await verifyCopy(storeOf(stores, other.role), other.manifest, UNHURRIED, signal);
  if (fault !== undefined) {
    throw new StorageError(
      'RESULT_CORRUPT',
      `The copy of "${key}" in the ${other.role} does not check (${fault}), so that in the ${role} is kept. Run \`optistore verify --repair\`.`,
    );
  }
  await store.moveOut(key, revision, signal);
  if (role === 'secondary') await stores.primary.setReplication(key, own.revision, ReplicationState.NONE, signal);
  return revision;
}

function isCopy({ manifest }: PlacedCopy, own: Manifest): boolean {
  return manifest.revision === own.revision && haveSameRows(manifest, own);
}
