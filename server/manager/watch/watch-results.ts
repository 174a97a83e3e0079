import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend, UploadState } from '../../backends/backend.js';
import { StorageError, throwIfCancelled } from '../../errors.js';
import { WATCH_HEARTBEAT_MS, WATCH_POLL_MS } from '../../limits.js';
import { nanoseconds } from '../../times.js';
import type { ChangeBell } from './change-bell.js';

/** What to watch: see WatchResultsRequest. */
export interface WatchSpec {
  readonly prefix: string;
  /** Undefined: only what comes from now on. */
  readonly afterEvent: bigint | undefined;
  readonly includeUploads: boolean;
}

/** Something that happened, and the event number to go on behind. */
export interface WatchEvent {
  readonly eventNumber: bigint;
  readonly what:
    | { readonly kind: 'committed' | 'updated' | 'deleted'; readonly manifest: Manifest }
    | { readonly kind: 'upload'; readonly upload: UploadState }
    /** Nothing: the beginning, or a sign of life. */
    | undefined;
}

/**
 * Tells what happens in a store, in the order of its changes; ends with the signal only. Who does not pull holds nothing but
 * its place: what changed is looked up when it is asked for. EVENTS_EXPIRED.
 */
export async function* watchResults(
  store: StorageBackend,
  bell: ChangeBell,
  spec: WatchSpec,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  let at = await beginning(store, spec.afterEvent, signal);
  yield { eventNumber: at, what: undefined };
  const progress = new UploadProgress(store, spec.prefix);
  let toldMs = Date.now();
  for (;;) {
    for await (const manifest of store.changes({ after: at }, signal)) {
      at = manifest.changeNumber;
      const kind = manifest.key.startsWith(spec.prefix) ? kindOf(manifest) : undefined;
      if (kind === undefined) continue;
      yield { eventNumber: at, what: { kind, manifest } };
      toldMs = Date.now();
    }
    if (spec.includeUploads) {
      for (const upload of await progress.changed(signal)) {
        yield { eventNumber: at, what: { kind: 'upload', upload } };
        toldMs = Date.now();
      }
    }
    if (Date.now() - toldMs >= WATCH_HEARTBEAT_MS) {
      yield { eventNumber: at, what: undefined };
      toldMs = Date.now();
    }
    await bell.wait(WATCH_POLL_MS, signal);
    throwIfCancelled(signal);
  }
}

async function beginning(store: StorageBackend, after: bigint | undefined, signal: AbortSignal): Promise<bigint> {
  const { floor, newest } = await store.changeNumbers(signal);
  if (after === undefined) return newest;
  // From the first on: a store that has forgotten nothing begins at 0, and one that was begun anew at its floor.
  if (after === 0n) return floor;
  if (after >= floor && after <= newest) return after;
  throw new StorageError(
    'EVENTS_EXPIRED',
    `Events after ${after} are not known here: those from ${floor} to ${newest} are, as when a store was begun anew. List the results, then watch from event ${newest} on.`,
    { metadata: { first_event: String(newest) } },
  );
}

function kindOf({ kind, commitTime, updateTime }: Manifest): 'committed' | 'updated' | 'deleted' | undefined {
  switch (kind) {
    case RevisionKind.COMMITTED:
      return nanoseconds(commitTime) === nanoseconds(updateTime) ? 'committed' : 'updated';
    case RevisionKind.DELETED:
      return 'deleted';
    // It is where it was moved to; to who watches nothing has changed.
    case RevisionKind.MOVED:
    case RevisionKind.UNSPECIFIED:
      return undefined;
    default:
      return kind satisfies never;
  }
}

/** Saves in progress, at most once a second. */
class UploadProgress {
  private readonly told = new Map<string, string>();
  private lookedMs = 0;

  constructor(
    private readonly store: StorageBackend,
    private readonly prefix: string,
  ) {}

  /** Those that are not as they were told last. */
  async changed(signal: AbortSignal): Promise<UploadState[]> {
    if (Date.now() - this.lookedMs < WATCH_POLL_MS) return [];
    this.lookedMs = Date.now();
    const changed: UploadState[] = [];
    const present = new Set<string>();
    for await (const upload of this.store.uploads({ prefix: this.prefix }, signal)) {
      const state = `${upload.durableRowCount} ${upload.hasStream}`;
      present.add(upload.uploadId);
      if (this.told.get(upload.uploadId) === state) continue;
      this.told.set(upload.uploadId, state);
      changed.push(upload);
    }
    for (const uploadId of this.told.keys()) if (!present.has(uploadId)) this.told.delete(uploadId);
    return changed;
  }
}
