import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageError } from '../../errors.js';
import type { Batch } from '../../rows/batch.js';
import type { Selection } from '../../rows/select.js';

/** The rows of one upload in its store. Calls are not made concurrently, but for `sync` beside `append`. */
export interface UploadRows {
  readonly record: UploadRecord;
  /** Rows received. */
  readonly nextRow: number;
  /** Rows on stable storage, or as safe as the store makes them. */
  readonly durableRowCount: number;
  /** When its last row became durable. */
  readonly updateTimeMs: number;
  /** Bytes that it takes in the store. */
  readonly sizeBytes: number;
  /** Whether the store remembers it: an upload that nobody was told rows of may be forgotten. */
  readonly isPersisted: boolean;
  /** Rows that were acked can't be read any more, as the error says: nothing can be made of it. Absent: all are there. */
  readonly damage?: StorageError | undefined;
  append(batch: Batch): Promise<void>;
  /** Rejects for good after a failed fsync. */
  sync(): Promise<number>;
  /** Ends it when it is a result, or is removed. */
  close(): Promise<void>;
  /** Ends it, to go on when the store is opened again. */
  suspend(): Promise<void>;
}

/** Rows that can be read before they are a result. */
export interface ReadableRows extends UploadRows {
  /**
   * Streams rows of its own that are durable, beside whoever appends. Every buffer's checksum was verified: RESULT_CORRUPT.
   * Ends early where the rows are closed meanwhile.
   */
  read(selection: Selection, signal: AbortSignal): AsyncIterable<Batch>;
}

/** What a store does for commits; `Change` is what it can make together with a manifest, all or none. */
export interface CommitStore<Rows extends UploadRows, Change> {
  /**
   * Brings the rows into their final form, and fills in the manifest's columns, segments and bytes, behind those that it has
   * of its base; the upload may go on if its commit is refused.
   */
  complete(rows: Rows, manifest: Manifest): Promise<Change[]>;
  /** Remembers an upload that ended. */
  remember(record: UploadRecord): Change[];
  /** Forgets an upload. */
  drop(uploadId: string): Change[];
}

/** What a store does for uploads. */
export interface UploadStore<Rows extends ReadableRows, Change> extends CommitStore<Rows, Change> {
  /** What is known of an upload that ended. */
  ended(uploadId: string): Promise<UploadRecord | undefined>;
  /** Rows of a new upload: behind those of `record.base`, where it has one. */
  begin(record: UploadRecord): Rows;
  /** Rows to go on with after a sync failed: what is safe is kept. */
  mend(rows: Rows): Promise<Rows>;
  /** Remembers, durably, that an upload ended without a result; then removes its rows. */
  end(rows: Rows, record: UploadRecord): Promise<void>;
  /** The same of an upload whose record does not check: which rows are its own can't be told. */
  endDamaged(record: UploadRecord): Promise<void>;
  /** Forgets uploads that ended without a result before a time. */
  forget(endedBeforeMs: number): Promise<void>;
}

/** A key's next manifest, and what is to be changed together with it. */
export interface Publication<Change> {
  readonly manifest: Manifest;
  readonly changes: readonly Change[];
}

/** What an upload needs of its store's results. */
export interface Results<Change> {
  /** The newest revision or marker of a key. */
  newest(key: string): Promise<Manifest | undefined>;
  /**
   * Makes what `decide` gives the key's newest revision, atomically with its changes and under the next change
   * number; nothing where it gives undefined. One at a time for a key. Gives what is the newest then.
   */
  publish(
    key: string,
    decide: (before: Manifest | undefined) => Promise<Publication<Change> | undefined>,
  ): Promise<Manifest>;
}

/** Results that an upload in progress shows rows of: those that it appends to. */
export interface ReadableResults<Change> extends Results<Change> {
  /** StorageBackend.read. */
  read(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncIterable<Batch>;
}
