import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { StorageError, toStorageError } from '../../errors.js';
import type { RoleStore } from '../role-store.js';
import type { FallbackParts } from './fallback.js';
import { COPY_FAILED } from './fallback-rows.js';

/** A key's newest revision or marker, or the revision asked for: the primary's, or the secondary's where that can't tell. */
export async function statOfBoth(
  primary: RoleStore,
  secondary: RoleStore,
  parts: FallbackParts,
  ...call: [key: string, revision: number | undefined, signal: AbortSignal]
): Promise<Manifest> {
  const found = await primary.stat(...call).catch((error: unknown) => {
    const failure = toStorageError(error);
    if (failure.reason === 'RESULT_NOT_FOUND' || COPY_FAILED.has(failure.reason)) return failure;
    throw failure;
  });
  if (found instanceof StorageError) return statElsewhere(secondary, parts, found, ...call);
  if (found.kind !== RevisionKind.MOVED) return found;
  const moved = await secondary.stat(...call).catch((error: unknown) => orMarker(found, error));
  if (moved.kind !== RevisionKind.MOVED) return parts.origins.mark(moved, 'secondary');
  // Neither has it; unless it came back to the primary between the two questions.
  return primary.stat(...call);
}

async function statElsewhere(
  secondary: RoleStore,
  { origins, repairs, counts }: FallbackParts,
  failure: StorageError,
  ...[key, revision, signal]: [key: string, revision: number | undefined, signal: AbortSignal]
): Promise<Manifest> {
  const found = await secondary.stat(key, revision, signal).catch(() => undefined);
  if (signal.aborted || found === undefined || found.kind === RevisionKind.MOVED) throw failure;
  const isLost = failure.reason === 'RESULT_NOT_FOUND';
  if (isLost) repairs.ask(key, false);
  counts.fallbackCount++;
  // A revision that was asked for by its number is that one, whoever has it.
  return origins.mark(found, 'secondary', !isLost && revision === undefined);
}

/** A result that was moved elsewhere than to the secondary: the marker says so. */
function orMarker(marker: Manifest, error: unknown): Manifest {
  if (error instanceof StorageError && error.reason === 'RESULT_NOT_FOUND') return marker;
  throw error;
}
