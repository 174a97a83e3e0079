import type { JsonObject } from '@bufbuild/protobuf';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Outcome } from '../../proto/gen/optistore/v1/result_pb.js';
import type { Batch } from '../rows/batch.js';
import type { Selection } from '../rows/select.js';

/**
 * A place that holds results by itself, complete: its directory, database or memory alone is enough to get
 * every result back. Decorators (cache, fallback, replication) have the same interface.
 *
 * Inputs were checked by the caller (key, problem, batches); a backend does not check them again.
 * Failures are StorageErrors.
 */
export interface StorageBackend extends AsyncDisposable {
  /** What it promises; the suite branches on it, callers don't. */
  readonly capabilities: Capabilities;

  /**
   * Opens a new upload or resumes one. The handle that the upload had before is fenced: its calls fail with
   * UPLOAD_TAKEN_OVER, after what it received was synced or dropped.
   * Fails with UPLOAD_CONFLICT, UPLOAD_ABORTED, UPLOAD_EXPIRED, REVISION_MISMATCH, PROBLEM_INVALID (a new
   * upload without a problem), TOO_MANY_UPLOADS.
   */
  openUpload(spec: UploadSpec, signal: AbortSignal): Promise<Upload>;

  /** Uploads that are not committed, in order of id, after `after` (exclusive) where given. */
  uploads(query: { prefix: string; after?: string }, signal: AbortSignal): AsyncIterable<UploadState>;

  /** Removes an upload and its rows. UPLOAD_NOT_FOUND, UPLOAD_COMMITTED. Aborted already: does nothing. */
  abortUpload(uploadId: string, signal: AbortSignal): Promise<void>;

  /**
   * The key's newest revision, or the one asked for: a result or a marker (`kind`), as Manifest.
   * RESULT_NOT_FOUND where the key never was, REVISION_NOT_FOUND where it has no such revision.
   */
  stat(key: string, revision: number | undefined, signal: AbortSignal): Promise<Manifest>;

  /**
   * Streams rows of a revision, in row order and in whatever pieces are stored; every buffer's checksum was
   * verified. Reads only the columns that are selected. Pulled: what is not consumed is not read (but
   * for one piece ahead). RESULT_CORRUPT, REVISION_NOT_FOUND when it was removed in the meantime.
   */
  read(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncIterable<Batch>;

  /** Results (no markers) in order, after `after` (exclusive) where given. Lazy. */
  list(query: ListQuery, signal: AbortSignal): AsyncIterable<Manifest>;

  /**
   * Deletes a key: durable when it returns the marker's revision. RESULT_NOT_FOUND, REVISION_MISMATCH. Loads of
   * the deleted revision that run, or start within the retention, go on.
   */
  delete(key: string, expectedRevision: number | undefined, signal: AbortSignal): Promise<number>;

  /** How it is. Cheap: no scan. */
  stats(signal: AbortSignal): Promise<BackendStats>;
}

/** A save in progress. One at a time uses it: calls are not made concurrently, but for `sync` beside `append`. */
export interface Upload extends AsyncDisposable {
  readonly uploadId: string;
  readonly key: string;
  readonly problem: Problem;
  /** Set when the upload was committed before: only `commit` is allowed. */
  readonly committed: Manifest | undefined;
  /** Aborted, with the StorageError as its reason, when the handle is fenced, its upload aborted or its store fails. */
  readonly lost: AbortSignal;
  /** Where a resumed client goes on: rows received by this handle or durable before it. */
  readonly nextRow: number;
  /** Rows that are on stable storage. */
  readonly durableRowCount: number;
  /**
   * Takes rows; `batch.firstRow` is `nextRow`. Resolves when there is room for more: back-pressure. The
   * batch's buffers belong to the upload from then on.
   */
  append(batch: Batch): Promise<void>;
  /** Makes all rows durable that were appended before the call. Rejects for good after a failed fsync. */
  sync(): Promise<number>;
  /** Atomic, durable, idempotent. REVISION_MISMATCH, ROW_COUNT_MISMATCH; the upload then stays open. */
  commit(spec: CommitSpec): Promise<Manifest>;
}

/** What an upload is opened with. */
export interface UploadSpec {
  readonly key: string;
  readonly uploadId: string;
  /** Undefined: only to resume. */
  readonly problem: Problem | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly attributes: JsonObject | undefined;
  readonly description: string;
  /** 0: must not exist. Undefined: no check. */
  readonly expectedRevision: number | undefined;
}

/** What a commit says. */
export interface CommitSpec {
  readonly rowCount: number;
  readonly outcome: Outcome;
}

/** Which results to list. */
export interface ListQuery {
  readonly prefix: string;
  /** All of these tags with these values. */
  readonly tags: Readonly<Record<string, string>>;
  readonly orderBy: ListOrder;
  readonly descending: boolean;
  /** Go on behind this place; the place itself need not exist any more. */
  readonly after?: ListPosition;
}

/** What results are ordered by; equal times by key. */
export type ListOrder = 'key' | 'commit_time' | 'update_time';

/** A place in an ordered list. */
export interface ListPosition {
  readonly key: string;
  /** Nanoseconds since 1970; 0n when ordered by key. */
  readonly time: bigint;
}

/** An upload that is not committed. */
export interface UploadState {
  readonly uploadId: string;
  readonly key: string;
  readonly durableRowCount: number;
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
  /** Undefined while a stream is open. */
  readonly expireTimeMs: number | undefined;
  readonly hasStream: boolean;
}

/** What a backend promises. */
export interface Capabilities {
  /** Rows that were acked, and commits, survive the process and the machine. */
  readonly durable: boolean;
}

/** How a backend is. */
export interface BackendStats {
  /** As in the configuration: `leveldb`, `memory`. */
  readonly type: string;
  /** Undefined: it works. */
  readonly failure: string | undefined;
  readonly sizeBytes: number;
  readonly resultCount: number;
  readonly uploadCount: number;
}
