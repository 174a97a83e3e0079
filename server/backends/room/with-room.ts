import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { StorageError } from '../../errors.js';
import { batchBytes, type Batch } from '../../rows/batch.js';
import type { CommitSpec, StorageBackend, Upload } from '../backend.js';
import { Room, type RoomWays } from './room.js';

/**
 * A store that refuses rows before its disk is full or its quota is exceeded, so that it never runs into the end of its disk by
 * itself: DISK_FULL and QUOTA_EXCEEDED say what is wanted and what there is. Loads, lists and deletions go on; when room is
 * short, revisions that were superseded or deleted and that nobody reads go at once, not after their retention.
 */
export function withRoom(store: StorageBackend, ways: RoomWays): StorageBackend {
  const room = new Room(store, ways);
  const removing = async <T>(remove: () => Promise<T>): Promise<T> => {
    await room.beforeRemoval();
    const removed = await explaining(room, remove);
    await room.afterRemoval();
    return removed;
  };
  return {
    capabilities: store.capabilities,
    async openUpload(spec, signal) {
      const upload = await explaining(room, () => store.openUpload(spec, signal));
      return upload.committed === undefined ? new RoomyUpload(upload, room) : upload;
    },
    uploads: (query, signal) => store.uploads(query, signal),
    viewUpload: (uploadId, signal) => store.viewUpload(uploadId, signal),
    abortUpload: (uploadId, signal) => removing(() => store.abortUpload(uploadId, signal)),
    stat: (key, revision, signal) => store.stat(key, revision, signal),
    read: (manifest, selection, signal) => store.read(manifest, selection, signal),
    locate: (manifest, selection, signal) => store.locate(manifest, selection, signal),
    list: (query, signal) => store.list(query, signal),
    changes: (query, signal) => store.changes(query, signal),
    changeNumbers: (signal) => store.changeNumbers(signal),
    async annotate(key, expectedRevision, edit, signal) {
      await room.check();
      return explaining(room, () => store.annotate(key, expectedRevision, edit, signal));
    },
    delete: (key, expectedRevision, signal) => removing(() => store.delete(key, expectedRevision, signal)),
    moveOut: (key, revision, signal) => removing(() => store.moveOut(key, revision, signal)),
    async copyIn(manifest, read, options, signal) {
      await room.check();
      const rows = new TakenRows(room);
      try {
        return await explaining(room, () =>
          store.copyIn(manifest, (firstRow, reading) => rows.of(read(firstRow, reading)), options, signal),
        );
      } finally {
        rows.settle();
      }
    },
    setReplication: (key, revision, state, signal) => store.setReplication(key, revision, state, signal),
    stats: (signal) => store.stats(signal),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

/** Says in a failure for want of room what is short. */
async function explaining<T>(room: Room, act: () => Promise<T>, wantedBytes?: number): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw await room.explained(error, wantedBytes);
  }
}

/** Rows that have room, and are not yet known to be on disk. */
class TakenRows {
  private bytes = 0;

  constructor(private readonly room: Room) {}

  get byteLength(): number {
    return this.bytes;
  }

  /** Takes room for rows; undefined: there was enough at once. */
  take(byteLength: number): Promise<void> | undefined {
    const waiting = this.room.take(byteLength);
    if (waiting === undefined) this.bytes += byteLength;
    return waiting?.then(() => void (this.bytes += byteLength));
  }

  /** Rows of another store, each with room when it comes. */
  async *of(batches: AsyncIterable<Batch>): AsyncGenerator<Batch> {
    for await (const batch of batches) {
      await this.take(batchBytes(batch));
      yield batch;
    }
  }

  /** Says that the first of them, or all, are on disk now or given up. */
  settle(byteLength = this.bytes): void {
    this.bytes -= byteLength;
    this.room.settled(byteLength);
  }
}

/** An upload whose rows need room; all else is the upload's own. */
class RoomyUpload implements Upload {
  private readonly losing = new AbortController();
  readonly lost = this.losing.signal;
  readonly committed = undefined;
  private readonly rows: TakenRows;
  private readonly joined: Disposable;
  /** Of the rows that came last; of a sync or a commit it is not known. */
  private wantedBytes: number | undefined;

  constructor(
    private readonly upload: Upload,
    private readonly room: Room,
  ) {
    this.rows = new TakenRows(room);
    this.joined = room.join(() => this.sync());
    const { lost } = upload;
    if (lost.aborted) this.lose();
    else lost.addEventListener('abort', () => this.lose(), { once: true });
  }

  private lose(): void {
    this.leave();
    const reason: unknown = this.upload.lost.reason;
    if (!(reason instanceof StorageError) || reason.reason !== 'DISK_FULL') return this.losing.abort(reason);
    void this.room.explained(reason, this.wantedBytes).then((explained) => this.losing.abort(explained));
  }

  private leave(): void {
    this.joined[Symbol.dispose]();
    this.rows.settle();
  }

  get uploadId() {
    return this.upload.uploadId;
  }

  get key() {
    return this.upload.key;
  }

  get problem() {
    return this.upload.problem;
  }

  get replication() {
    return this.upload.replication;
  }

  get nextRow() {
    return this.upload.nextRow;
  }

  get durableRowCount() {
    return this.upload.durableRowCount;
  }

  async append(batch: Batch): Promise<void> {
    const byteLength = batchBytes(batch);
    const waiting = this.rows.take(byteLength);
    if (waiting !== undefined) await waiting;
    this.wantedBytes = byteLength;
    await this.explaining(() => this.upload.append(batch));
  }

  async sync(): Promise<number> {
    const { byteLength } = this.rows;
    const durable = await this.explaining(() => this.upload.sync());
    // Others may have synced them meanwhile.
    this.rows.settle(Math.min(byteLength, this.rows.byteLength));
    return durable;
  }

  async commit(spec: CommitSpec): Promise<Manifest> {
    await this.room.check();
    const manifest = await this.explaining(() => this.upload.commit(spec));
    this.leave();
    return manifest;
  }

  private explaining<T>(act: () => Promise<T>): Promise<T> {
    return explaining(this.room, act, this.wantedBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.upload[Symbol.asyncDispose]();
    } finally {
      this.leave();
    }
  }
}
