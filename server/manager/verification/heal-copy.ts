import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend } from '../../backends/backend.js';
import { isSameRevision } from '../../backends/revisions.js';
import { damagedKeyOf, StorageError } from '../../errors.js';
import { batchBytes } from '../../rows/batch.js';
import { readWhole } from '../read-whole.js';
import { newestOf, repairCopy, repairRows, replaceEntry, type ReadRows } from '../repair/repair-copy.js';
import type { Stores } from '../stores.js';
import { heldInstead, isEntryDamaged, otherRole, type CheckedCopy } from './checked-copy.js';
import type { Pace } from './pace.js';
import { verifyCopy } from './verify-copy.js';

/** What is left when no store has the rows. */
const LAST_RESORT = 'restore the store from a backup, or save the result again';

/**
 * Replaces a copy that is corrupt or missing by the other store's, reads it once more and tells what became of it. What can't be
 * healed stays as it is, and says why and what to do; a store that can't be reached is an error. Undefined where the key
 * was changed or deleted meanwhile.
 */
export async function healCopy(
  stores: Stores,
  copy: CheckedCopy,
  other: CheckedCopy | undefined,
  pace: Pace,
  signal: AbortSignal,
): Promise<CheckedCopy | undefined> {
  const from = copy.role === 'primary' ? stores.secondary : stores.primary;
  const to = copy.role === 'primary' ? stores.primary : stores.secondary;
  if (from === undefined || to === undefined) return unhealed(copy, 'There is no other store to repair it from');
  const isCurrent = copy.state === 'missing' || (await revisionIn(to, copy.key, signal)) === copy.revision;
  if (!isCurrent) return undefined;
  if (other?.state === 'corrupt') return unhealed(copy, `The ${other.role}'s copy is corrupt too`);
  let byteLength = 0;
  const readRows: ReadRows = async function* (store, manifest, firstRow, reading) {
    for await (const batch of readWhole(store, manifest, firstRow, reading)) {
      byteLength += batchBytes(batch);
      yield batch;
      await pace.took(batchBytes(batch), reading);
    }
  };
  try {
    const healed = await putBack(stores, copy, from, to, readRows, signal);
    if (healed === undefined) return notHealed(copy, await newestOf(from, copy.key, signal), byteLength);
    const read = await verifyCopy(to, healed, pace, signal);
    byteLength += read.byteLength;
    if (read.fault !== undefined)
      return unhealed(copy, `It was replaced, and what was written does not check: ${read.fault}`, byteLength);
    const message = `Was ${copy.state}: ${copy.message} It was replaced by the ${otherRole(copy.role)}'s${entryNote(copy, healed)}.`;
    return { ...told(copy, message, byteLength), state: 'repaired', revision: healed.revision };
  } catch (error) {
    const why = whyUnhealed(copy, error);
    if (why === undefined) throw error;
    return unhealed(copy, why, byteLength);
  }
}

/** The revision that a store has of a key; 0 where its entry does not check. */
async function revisionIn(store: StorageBackend, key: string, signal: AbortSignal): Promise<bigint | undefined> {
  try {
    return (await newestOf(store, key, signal))?.revision;
  } catch (error) {
    if (damagedKeyOf(error) === undefined) throw error;
    return 0n;
  }
}

function entryNote(copy: CheckedCopy, { revision }: Manifest): string {
  if (!isEntryDamaged(copy) || copy.role === 'secondary') return '';
  return `, revision ${revision}: what the primary had may have been newer, which can't be told any more`;
}

/** A copy that the other store can't give: it has something else. */
function notHealed(copy: CheckedCopy, held: Manifest | undefined, byteLength: number): CheckedCopy {
  // A revision that the other store has, and is not taken: here is another one of that number.
  if (copy.state === 'missing' && held?.revision === copy.revision)
    return told(copy, `${copy.message} Load both, and delete the one that is not wanted.`, byteLength);
  return unhealed(copy, `The ${otherRole(copy.role)} has ${heldInstead(held)}`, byteLength);
}

/** Gives the copy as it is now; undefined where the other store has none of this revision. */
async function putBack(
  stores: Stores,
  copy: CheckedCopy,
  from: StorageBackend,
  to: StorageBackend,
  readRows: ReadRows,
  signal: AbortSignal,
): Promise<Manifest | undefined> {
  const { key, role, state } = copy;
  const isCorrupt = state === 'corrupt';
  const isEntry = isEntryDamaged(copy);
  const copied = isEntry
    ? await replaceEntry(from, to, key, role === 'secondary', signal, readRows)
    : await repairCopy(from, to, key, isCorrupt, signal, { replacesOlder: true, readRows });
  if (copied === undefined) return isCorrupt && !isEntry ? repairRows(from, to, key, signal, readRows) : undefined;
  const primary = await newestOf(stores.primary, key, signal);
  // Both have it now; what follows upon it is replicated again.
  const isInBoth = primary !== undefined && isSameRevision(primary, copied);
  if (isInBoth && (role === 'primary' || isUnsettled(primary)))
    await stores.primary.setReplication(key, copied.revision, ReplicationState.DONE, signal);
  return copied;
}

function isUnsettled({ replication }: Manifest): boolean {
  return replication === ReplicationState.PENDING || replication === ReplicationState.FAILED;
}

function told(copy: CheckedCopy, message: string, byteLength: number): CheckedCopy {
  return { ...copy, message, byteLength: copy.byteLength + byteLength };
}

function unhealed(copy: CheckedCopy, why: string, byteLength = 0): CheckedCopy {
  const lastResort = isEntryDamaged(copy) ? 'restore the store from a backup, or use another key' : LAST_RESORT;
  return told(copy, `${copy.message} ${why}: ${lastResort}.`, byteLength);
}

/** Why a copy stays as it is; undefined where that was not the copies' fault. */
function whyUnhealed(copy: CheckedCopy, error: unknown): string | undefined {
  if (!(error instanceof StorageError)) return undefined;
  const { reason, message } = error;
  if (reason === 'RESULT_CORRUPT' || reason === 'REVISION_NOT_FOUND')
    return `The ${otherRole(copy.role)}'s copy can't be read whole either`;
  const isRefused = reason === 'REVISION_MISMATCH' || reason === 'DISK_FULL' || reason === 'MEMORY_LIMIT';
  return isRefused ? `It could not be replaced (${message})` : undefined;
}
