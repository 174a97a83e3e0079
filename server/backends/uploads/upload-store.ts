import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Batch } from '../../rows/batch.js';

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
  append(batch: Batch): Promise<void>;
  /** Rejects for good after a failed fsync. */
  sync(): Promise<number>;
  /** Ends it when it is a result, or is removed. */
  close(): Promise<void>;
  /** Ends it, to go on when the store is opened again. */
  suspend(): Promise<void>;
}

/** What a store does for uploads; `Change` is what it can make together with a manifest, all or none. */
export interface UploadStore<Rows extends UploadRows, Change> {
  /** What is known of an upload that ended. */
  ended(uploadId: string): Promise<UploadRecord | undefined>;
  /** Rows of a new upload. */
  begin(record: UploadRecord): Rows;
  /** Rows to go on with after a sync failed: what is safe is kept. */
  mend(rows: Rows): Promise<Rows>;
  /** Brings the rows into their final form, and fills `manifest` in; the upload may go on if its commit is refused. */
  complete(rows: Rows, manifest: Manifest): Promise<Change[]>;
  /** Remembers, durably, that an upload ended without a result; then removes its rows. */
  end(rows: Rows, record: UploadRecord): Promise<void>;
  /** Forgets uploads that ended without a result before a time. */
  forget(endedBeforeMs: number): Promise<void>;
}

/** What an upload needs of its store's results. */
export interface Results<Change> {
  /** The newest revision of a key; 0 where there is none or it is deleted. */
  revisionOf(key: string): Promise<number>;
  /** Makes a manifest the newest revision, atomically with the changes that `complete` gives. REVISION_MISMATCH. */
  publish(
    manifest: Manifest,
    expected: number | undefined,
    complete: (manifest: Manifest) => Promise<Change[]>,
  ): Promise<Manifest>;
}
