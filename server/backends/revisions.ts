import { randomUUID } from 'node:crypto';
import { clone, create } from '@bufbuild/protobuf';
import { TimestampSchema, timestampNow, type Timestamp } from '@bufbuild/protobuf/wkt';
import type { Manifest, Segment } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ManifestSchema, RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ColumnSummary } from '../../proto/gen/optistore/v1/result_pb.js';
import { ReplicationMode, ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import { StorageError } from '../errors.js';
import { nanoseconds } from '../times.js';
import { resultNotFound } from './result-errors.js';
import { checkRevision, committedRevision } from './uploads/upload-errors.js';

export { checkRevision, committedRevision };

/** Whether a key's next revision is replicated: when that is asked for, and when the one before was. */
export function replicationAfter(
  before: Manifest | undefined,
  mode: ReplicationMode = ReplicationMode.NONE,
): ReplicationState {
  const isAsked = mode === ReplicationMode.ASYNC || mode === ReplicationMode.SYNC;
  return isAsked || isReplicated(before) ? ReplicationState.PENDING : ReplicationState.NONE;
}

function isReplicated(manifest: Manifest | undefined): boolean {
  const state = manifest?.replication ?? ReplicationState.NONE;
  return state !== ReplicationState.NONE && state !== ReplicationState.UNSPECIFIED;
}

/** Gives a manifest the number, time and replication that follow upon the newest one. */
export function follow(manifest: Manifest, before: Manifest | undefined, mode?: ReplicationMode): Manifest {
  manifest.revision = (before?.revision ?? 0n) + 1n;
  manifest.updateTime = timeAfter(before?.updateTime);
  // A commit is known by its two times being one.
  if (manifest.kind === RevisionKind.COMMITTED) manifest.commitTime ??= manifest.updateTime;
  manifest.replication = replicationAfter(before, mode);
  return manifest;
}

/** Now; but later than a key's change before, which may have been in the same millisecond. */
function timeAfter(before: Timestamp | undefined): Timestamp {
  const now = timestampNow();
  const earliest = nanoseconds(before) + 1n;
  return nanoseconds(now) >= earliest
    ? now
    : create(TimestampSchema, { seconds: earliest / 1_000_000_000n, nanos: Number(earliest % 1_000_000_000n) });
}

/** The next revision with the same rows and edited metadata. RESULT_NOT_FOUND, REVISION_MISMATCH. */
export function annotated(
  key: string,
  before: Manifest | undefined,
  expected: number | undefined,
  edit: (manifest: Manifest) => void,
): Manifest {
  if (before?.kind !== RevisionKind.COMMITTED) throw resultNotFound(key);
  checkRevision(key, expected, committedRevision(before));
  const manifest = clone(ManifestSchema, before);
  edit(manifest);
  return follow(manifest, before);
}

/** The marker that a deletion leaves. RESULT_NOT_FOUND, REVISION_MISMATCH. */
export function deleted(key: string, before: Manifest | undefined, expected: number | undefined): Manifest {
  if (before === undefined || before.kind === RevisionKind.DELETED) throw resultNotFound(key);
  checkRevision(key, expected, Number(before.revision));
  return follow(create(ManifestSchema, { key, kind: RevisionKind.DELETED, uploadId: randomUUID() }), before);
}

/**
 * The marker of a result that was moved elsewhere, or of the greater revision that it has there now; undefined where it is
 * that already. REVISION_MISMATCH.
 */
export function movedOut(key: string, before: Manifest | undefined, revision: number): Manifest | undefined {
  if (before === undefined) throw resultNotFound(key);
  if (before.kind === RevisionKind.MOVED && Number(before.revision) === revision) return undefined;
  const isRaised = before.kind === RevisionKind.MOVED && Number(before.revision) < revision;
  if (!isRaised) checkRevision(key, revision, committedRevision(before));
  const { uploadId } = before;
  return create(ManifestSchema, {
    ...{ key, kind: RevisionKind.MOVED, revision: BigInt(revision), uploadId },
    updateTime: timestampNow(),
    replication: ReplicationState.NONE,
  });
}

/**
 * Whether a store that has `before` takes a copy of another store's revision. REVISION_MISMATCH where it has a newer one, or
 * another one of the same number: two stores that were changed without each other.
 */
export function takesCopy(source: Manifest, before: Manifest | undefined, replace: boolean): boolean {
  if (before === undefined || before.revision < source.revision) return true;
  if (before.revision === source.revision) {
    if (before.kind === RevisionKind.MOVED) return true;
    if (isSameRevision(before, source)) return replace;
  }
  const is = before.revision === source.revision ? 'is another one of that number' : 'is older';
  throw new StorageError(
    'REVISION_MISMATCH',
    `"${source.key}" is at revision ${before.revision} here; revision ${source.revision} ${is} and is not put in its place.`,
    { metadata: { revision: String(before.revision) } },
  );
}

/** Whether two stores' revisions of one number are copies of each other: made by the same upload or deletion, at the same time. */
export function isSameRevision(a: Manifest, b: Manifest): boolean {
  return (
    a.revision === b.revision &&
    a.kind === b.kind &&
    a.uploadId === b.uploadId &&
    nanoseconds(a.updateTime) === nanoseconds(b.updateTime)
  );
}

/**
 * A copy of another store's manifest, still without its rows. Its replication state is that of `before` where this is the same
 * revision with bad rows: a copy that waits to be replicated goes on to wait. Over an older revision that is replicated it waits as well.
 */
export function copyOf(source: Manifest, before: Manifest | undefined): Manifest {
  const manifest = clone(ManifestSchema, source);
  manifest.segments = [];
  const isReplaced = before !== undefined && isSameRevision(before, source);
  manifest.replication = isReplaced ? before.replication : replicationAfter(before);
  manifest.changeNumber = 0n;
  return manifest;
}

/** Whether two revisions have the same rows: columns of the same types whose checksums agree. */
export function haveSameRows(a: Manifest, b: Manifest): boolean {
  const variablesOf = ({ problem }: Manifest) => problem?.variables ?? [];
  return (
    a.rowCount === b.rowCount &&
    variablesOf(a).length === variablesOf(b).length &&
    variablesOf(a).every((variable, i) => variable.valueType === variablesOf(b)[i]?.valueType) &&
    haveSameChecksums(a.columns, b.columns)
  );
}

function haveSameChecksums(a: readonly ColumnSummary[], b: readonly ColumnSummary[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ valuesCrc32, validityCrc32, lengthsCrc32 }, i) => {
      const other = b[i];
      return (
        valuesCrc32 === other?.valuesCrc32 &&
        validityCrc32 === other.validityCrc32 &&
        lengthsCrc32 === other.lengthsCrc32
      );
    })
  );
}

/** Refuses rows that are not those which a manifest promises: RESULT_CORRUPT. */
export function checkCopiedRows(source: Manifest, copy: Manifest): void {
  if (haveSameRows(source, copy)) return;
  throw new StorageError(
    'RESULT_CORRUPT',
    `The rows read of "${source.key}" at revision ${source.revision} are not those that were committed: their checksums differ. Nothing was changed.`,
  );
}

/** Row files of a revision that none of the others has. */
export function ownSegments(manifest: Manifest, others: readonly Manifest[]): Segment[] {
  const shared = new Set(others.flatMap(({ segments }) => segments.map(({ name }) => name)));
  return manifest.segments.filter(({ name }) => !shared.has(name));
}

/** The numbers that changes get, so that none becomes visible behind one that is still being written. */
export class ChangeNumbers {
  private readonly writing = new Set<bigint>();

  constructor(private last: bigint) {}

  /** All changes up to this one are written. */
  get settled(): bigint {
    let lowest = this.last + 1n;
    for (const number of this.writing) if (number < lowest) lowest = number;
    return lowest - 1n;
  }

  /** Writes a change under the next number. */
  async write<T>(act: (number: bigint) => Promise<T>): Promise<T> {
    const number = ++this.last;
    this.writing.add(number);
    try {
      return await act(number);
    } finally {
      this.writing.delete(number);
    }
  }
}

/** When the first of the pending changes was made. */
export function oldestOf(pending: ReadonlyMap<bigint, number>): number | undefined {
  let first: bigint | undefined;
  for (const number of pending.keys()) if (first === undefined || number < first) first = number;
  return first === undefined ? undefined : pending.get(first);
}
