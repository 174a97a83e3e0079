import type { JsonObject } from '@bufbuild/protobuf';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Outcome, ReplicationMode, ReplicationState, ResultSet } from '../../proto/gen/optistore/v1/result_pb.js';
import type { Filter } from '../filter/filter.js';
import type { Batch } from '../rows/batch.js';
import type { BufferPlace } from '../rows/places.js';
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

  /**
   * An upload as it is now, with the rows that are durable; whoever has its stream, another process too, is not
   * disturbed. One that was committed gives its result. UPLOAD_NOT_FOUND, UPLOAD_ABORTED, UPLOAD_EXPIRED.
   */
  viewUpload(uploadId: string, signal: AbortSignal): Promise<UploadView>;

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

  /**
   * As `read`, for who opens files of this machine: in the place of rows that lie in such files come whole blocks, which may
   * begin before the rows that are selected, or end behind them. What places say was verified, what lies there was not. The files
   * stay as they are, and for LOCAL_FILES_KEPT_MS after the stream. Undefined: none of the rows lie in such files.
   */
  locate(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncIterable<Batch | FileBlocks> | undefined;

  /**
   * Results (no markers) in order, after `after` (exclusive) where given. Lazy. An entry that does not check is never passed
   * over: RESULT_CORRUPT, whose metadata says behind which `damaged_key` and `damaged_time` the list can be gone on with.
   */
  list(query: ListQuery, signal: AbortSignal): AsyncIterable<Manifest>;

  /**
   * Newest revisions and markers whose change number is above `after`, in the order of their changes, as they
   * are now; it ends with the newest. A change is told late rather than left out: none becomes visible behind one
   * that was told already. `pending`: only those whose replication is PENDING, which is the outbox. What does not check is
   * left out: `list` and `stat` tell of it.
   */
  changes(query: { after: bigint; pending?: boolean }, signal: AbortSignal): AsyncIterable<Manifest>;

  /**
   * The range of change numbers that `changes` knows: `after` below `floor` means that something may be lacking
   * (a volatile store has forgotten what was before its start). A store's numbers only grow.
   */
  changeNumbers(signal: AbortSignal): Promise<{ floor: bigint; newest: bigint }>;

  /**
   * Changes a result's metadata: a new revision that shares the rows, durable when it returns. `edit` gets a copy of
   * the newest manifest and changes its tags, attributes, description, outcome or result sets; it may be called more
   * than once, and what it throws is thrown. RESULT_NOT_FOUND, REVISION_MISMATCH.
   */
  annotate(
    key: string,
    expectedRevision: number | undefined,
    edit: (manifest: Manifest) => void,
    signal: AbortSignal,
  ): Promise<Manifest>;

  /**
   * Deletes a key: durable when it returns the marker's revision. RESULT_NOT_FOUND, REVISION_MISMATCH. Loads of
   * the deleted revision that run, or start within the retention, go on. Of a MOVED marker it makes a DELETED one.
   */
  delete(key: string, expectedRevision: number | undefined, signal: AbortSignal): Promise<number>;

  /**
   * Puts a MOVED marker of the same number in the place of the newest revision, once that is safe elsewhere. Loads
   * go on as after a deletion. REVISION_MISMATCH where it is no longer the newest. Moved already: does nothing, or
   * raises the marker to a revision that the result has got where it is now.
   */
  moveOut(key: string, revision: number, signal: AbortSignal): Promise<void>;

  /**
   * Stores a revision of another store as it is, under its own number: a result or a marker; its replication state is NONE
   * here, or what it was where it is replaced, or PENDING where the key's revision before is replicated. Where this store's newest
   * revision has the same rows, by their checksums, they are shared;
   * else they are pulled from `read` (from a row on: a copy that was cut off is resumed), and checked against the
   * manifest's checksums before anything becomes visible: RESULT_CORRUPT. Atomic, durable. Gives the manifest
   * as it is here.
   * This store's newest is a copy of it: does nothing, unless `replace` says that its rows are bad. A MOVED marker of that
   * number gives way, and with `replace` also an entry that does not check. It is another revision of the same number, or has a
   * greater number: REVISION_MISMATCH.
   */
  copyIn(
    manifest: Manifest,
    read: (firstRow: number, signal: AbortSignal) => AsyncIterable<Batch>,
    options: { replace: boolean },
    signal: AbortSignal,
  ): Promise<Manifest>;

  /** Says whether the secondary has a revision: no new revision, no change number. Does nothing where it is not the newest. */
  setReplication(key: string, revision: bigint, state: ReplicationState, signal: AbortSignal): Promise<void>;

  /** How it is. Cheap: no scan. */
  stats(signal: AbortSignal): Promise<BackendStats>;
}

/** Blocks of rows that follow each other in a file which never changes. */
export interface FileBlocks {
  readonly file: IdentifiedFile;
  /** Of the first block. */
  readonly firstRow: number;
  /** Of all blocks. */
  readonly rowCount: number;
  readonly blocks: readonly PlacedBlock[];
}

/** A file, and what tells it from another one of its name. */
export interface IdentifiedFile {
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
  readonly sizeBytes: number;
}

/** Where the selected columns of a block lie, in the order of the selection; their buffers are those of a Column. */
export interface PlacedBlock {
  readonly rowCount: number;
  readonly columns: readonly {
    readonly offsets: BufferPlace | undefined;
    readonly values: BufferPlace;
    readonly validity: BufferPlace | undefined;
  }[];
}

/** A save in progress. One at a time uses it: calls are not made concurrently, but for `sync` beside `append`. */
export interface Upload extends AsyncDisposable {
  readonly uploadId: string;
  readonly key: string;
  readonly problem: Problem;
  /** As it was opened first; never UNSPECIFIED. */
  readonly replication: ReplicationMode;
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
  /**
   * Never UNSPECIFIED. With ASYNC and SYNC, or where the key's revision before is replicated (not NONE), the commit makes a
   * manifest that is PENDING; so do annotations and deletions of a replicated key.
   */
  readonly replication: ReplicationMode;
  /** Extends the key's newest revision: see SaveOpen.append. RESULT_NOT_FOUND at the open, REVISION_MISMATCH at the commit. */
  readonly append: boolean;
  /** Who opens it: see Result.created_by. Empty: nobody was asked. */
  readonly createdBy: string;
}

/** What a commit says. */
export interface CommitSpec {
  readonly rowCount: number;
  readonly outcome: Outcome;
  /** Checked, and with their rows in the smallest form. Sets of the base that have no such name are kept. */
  readonly resultSets: readonly ResultSet[];
}

/** Which results to list. */
export interface ListQuery {
  readonly prefix: string;
  /** Undefined: all. */
  readonly filter: Filter | undefined;
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
  /** Whole milliseconds, as the other times. */
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
  /** Undefined while a stream is open. */
  readonly expireTimeMs: number | undefined;
  readonly hasStream: boolean;
  /** See UploadSpec. */
  readonly createdBy: string;
}

/** An upload as it was when it was looked at. */
export type UploadView =
  | {
      readonly state: 'open';
      /** What a commit would make of it: `rowCount` are the rows that are durable. Without revision, commit and columns. */
      readonly manifest: Manifest;
      /**
       * Streams rows that are durable, those of a base too, from `firstRow` on, in row order and in whatever pieces are
       * stored; every buffer's checksum was verified. Pulled, as StorageBackend.read. Ends behind the last row of
       * `manifest`, or before it where the upload has changed hands or ended meanwhile: look again. RESULT_CORRUPT.
       */
      read(selection: Pick<Selection, 'columns' | 'firstRow'>, signal: AbortSignal): AsyncIterable<Batch>;
    }
  | { readonly state: 'committed'; readonly manifest: Manifest };

/** What a backend promises. */
export interface Capabilities {
  /** Rows that were acked, and commits, survive the process and the machine. */
  readonly durable: boolean;
  /** Other processes may change it meanwhile: what was read of it once is looked up again. */
  readonly shared: boolean;
}

/** How a backend is. */
export interface BackendStats {
  /** As in the configuration: `leveldb`, `filesystem`, `database`, `memory`. */
  readonly type: string;
  /** What it does not do that it should; undefined: it works. */
  readonly failure: string | undefined;
  readonly sizeBytes: number;
  readonly resultCount: number;
  readonly uploadCount: number;
  /** Results and markers whose replication is PENDING, and when the oldest of them changed. */
  readonly pendingCount: number;
  readonly oldestPendingMs: number | undefined;
}
