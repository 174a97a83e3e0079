import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { isSameRevision } from '../../backends/revisions.js';

/** Stores whose copies are checked. What is pinned in the cache is memory. */
export type CopyRole = 'primary' | 'secondary';

/** What became of a copy: VerifyState in the contract says what each means. */
export type CopyState = 'ok' | 'corrupt' | 'missing' | 'repaired';

/** A copy that was read, or that should be there. */
export interface CheckedCopy {
  readonly key: string;
  /** That it has, or should have; 0 where the store can't tell. */
  readonly revision: bigint;
  readonly role: CopyRole;
  readonly state: CopyState;
  /** What is or was wrong, and what to do. Empty: nothing. */
  readonly message: string;
  /** Bytes of rows that were read for it. */
  readonly byteLength: number;
}

/** Whether what a store has of a key is an entry that does not check: it can't tell the revision. */
export function isEntryDamaged({ state, revision }: CheckedCopy): boolean {
  return state === 'corrupt' && revision === 0n;
}

/** The store beside one. */
export function otherRole(role: CopyRole): CopyRole {
  return role === 'primary' ? 'secondary' : 'primary';
}

/** What the primary should have, as the secondary has it: all, unless it says itself why not. Undefined: nothing. */
export function lackingInPrimary(primary: Manifest | undefined, secondary: Manifest | undefined): Manifest | undefined {
  return primary === undefined && secondary?.kind !== RevisionKind.MOVED ? secondary : undefined;
}

/** What the secondary should have, as the primary has it: what was replicated. Undefined: nothing. */
export function lackingInSecondary(
  primary: Manifest | undefined,
  secondary: Manifest | undefined,
): Manifest | undefined {
  if (primary?.replication !== ReplicationState.DONE || secondary?.kind === RevisionKind.MOVED) return undefined;
  if (secondary === undefined || secondary.revision < primary.revision) return primary;
  return secondary.revision === primary.revision && !isSameRevision(primary, secondary) ? primary : undefined;
}

/** What a store has in the place of something, for people. */
export function heldInstead(manifest: Manifest | undefined): string {
  if (manifest === undefined) return 'nothing of it';
  switch (manifest.kind) {
    case RevisionKind.DELETED:
      return `only the marker of its deletion at revision ${manifest.revision}`;
    case RevisionKind.MOVED:
      return 'only the marker that it was moved';
    case RevisionKind.COMMITTED:
    case RevisionKind.UNSPECIFIED:
      return `revision ${manifest.revision} of it`;
    default:
      return manifest.kind satisfies never;
  }
}
