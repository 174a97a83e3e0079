import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend, UploadState, UploadView } from '../../backends/backend.js';
import { StorageError, throwIfCancelled } from '../../errors.js';
import { FOLLOW_HEARTBEAT_MS, FOLLOW_POLL_MS } from '../../limits.js';
import { schemaOf, type Batch, type Schema } from '../../rows/batch.js';
import type { Origins } from '../origins.js';
import { columnsOf, selectionOf } from '../selection.js';
import type { Role } from '../stores.js';
import { gathered } from './gathered.js';
import type { UploadBells, UploadListener } from './upload-bells.js';

/** What to follow: see LoadResultRequest. */
export interface FollowSpec {
  readonly key: string;
  /** Undefined: the one that was opened last of those in progress. */
  readonly uploadId: string | undefined;
  /** Names of variables, in the order wanted; empty: all. */
  readonly columns: readonly string[];
  readonly firstRow: number;
  /** Rows come in batches of about this, or of a stored block where that is larger. */
  readonly batchBytes: number;
  /** A sign of life after so long without rows. Default: 15 s. */
  readonly heartbeatMs?: number;
}

/** What a follower is told. */
export type FollowEvent =
  | { readonly kind: 'rows'; readonly batch: Batch }
  /** Nothing came for a while. */
  | { readonly kind: 'alive' }
  /** The upload is this result, and all its rows were told. Last. */
  | { readonly kind: 'committed'; readonly manifest: Manifest };

/** An upload that is followed. */
export interface FollowedUpload {
  /** The upload as it was when this began; its result, where it was committed before. */
  readonly manifest: Manifest;
  /** The store that has it: the primary, or the cache alone. */
  readonly role: Role;
  /** Indices of the columns of the batches, in their order. */
  readonly columns: readonly number[];
  readonly events: AsyncIterable<FollowEvent>;
}

/**
 * Follows an upload from a row on: rows that are durable, as they come, to its result. Who does not pull holds nothing but
 * its place. UPLOAD_NOT_FOUND, UPLOAD_CONFLICT, COLUMN_NOT_FOUND, REQUEST_INVALID; then UPLOAD_ABORTED, UPLOAD_EXPIRED,
 * ROW_RANGE_INVALID where the result has fewer rows, RESULT_CORRUPT, REVISION_NOT_FOUND.
 */
export async function followUpload(
  store: StorageBackend,
  origins: Origins,
  bells: UploadBells,
  spec: FollowSpec,
  signal: AbortSignal,
): Promise<FollowedUpload> {
  const { key } = spec;
  const uploadId = spec.uploadId ?? (await newestUpload(store, key, signal)).uploadId;
  const { manifest } = await store.viewUpload(uploadId, signal);
  if (manifest.key !== key) {
    throw new StorageError(
      'UPLOAD_CONFLICT',
      `Upload ${uploadId} saves "${manifest.key}", not "${key}". Follow it under its own key.`,
    );
  }
  const columns = columnsOf(manifest, spec.columns);
  const variables = manifest.problem?.variables ?? [];
  const schema = schemaOf(columns.flatMap((index) => variables[index] ?? []));
  const { role } = origins.of(manifest);
  return {
    manifest,
    role,
    columns,
    events: new Following(store, bells, uploadId, columns, schema, spec).events(signal),
  };
}

async function newestUpload(store: StorageBackend, key: string, signal: AbortSignal): Promise<UploadState> {
  let newest: UploadState | undefined;
  for await (const upload of store.uploads({ prefix: key }, signal))
    if (upload.key === key && upload.createTimeMs >= (newest?.createTimeMs ?? 0)) newest = upload;
  if (newest !== undefined) return newest;
  throw new StorageError(
    'UPLOAD_NOT_FOUND',
    `No save of "${key}" is in progress. \`optistore uploads\` lists those that are; a result is loaded without follow.`,
  );
}

/** One follower's way through an upload. */
class Following {
  /** The next row to tell. */
  private at: number;
  private toldMs = Date.now();

  constructor(
    private readonly store: StorageBackend,
    private readonly bells: UploadBells,
    private readonly uploadId: string,
    private readonly columns: readonly number[],
    private readonly schema: Schema,
    private readonly spec: FollowSpec,
  ) {
    this.at = spec.firstRow;
  }

  async *events(signal: AbortSignal): AsyncGenerator<FollowEvent> {
    using listener = this.bells.listen(this.uploadId);
    for (;;) {
      throwIfCancelled(signal);
      const view = await this.store.viewUpload(this.uploadId, signal);
      const before = this.at;
      yield* this.rowsOf(view, signal);
      if (view.state === 'committed') {
        yield { kind: 'committed', manifest: view.manifest };
        return;
      }
      // A reader may end early, and more is there at once; what ends early without a row is looked at later.
      if (this.at > before && this.at < Number(view.manifest.rowCount)) continue;
      yield* this.pause(listener, signal);
    }
  }

  private async *rowsOf(view: UploadView, signal: AbortSignal): AsyncGenerator<FollowEvent> {
    const { columns, at: firstRow } = this;
    const rows =
      view.state === 'open'
        ? view.read({ columns, firstRow }, signal)
        : this.store.read(view.manifest, this.restOf(view.manifest), signal);
    for await (const batch of gathered(this.schema, rows, this.spec.batchBytes)) {
      this.at = batch.firstRow + batch.rowCount;
      yield { kind: 'rows', batch };
      this.toldMs = Date.now();
    }
  }

  private restOf(manifest: Manifest) {
    return selectionOf(manifest, { columns: this.spec.columns, firstRow: this.at, rowCount: undefined });
  }

  /** Waits until there may be something new. Other daemons ring no bell here: it ends by itself. */
  private async *pause(listener: UploadListener, signal: AbortSignal): AsyncGenerator<FollowEvent> {
    const { heartbeatMs = FOLLOW_HEARTBEAT_MS } = this.spec;
    const silentMs = Date.now() - this.toldMs;
    if (silentMs >= heartbeatMs) {
      yield { kind: 'alive' };
      this.toldMs = Date.now();
    }
    const untilAliveMs = this.toldMs + heartbeatMs - Date.now();
    await listener.wait(Math.max(Math.min(FOLLOW_POLL_MS, untilAliveMs), 0), signal);
  }
}
