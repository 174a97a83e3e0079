import { join } from 'node:path';
import { isCorrupt } from '../../errors.js';
import { UPLOAD_MEMORY_MS } from '../../limits.js';
import { milliseconds } from '../../times.js';
import type { UploadState } from '../backend.js';
import { namesIn } from './durable-files.js';
import type { EndedUploads } from './ended-uploads.js';
import type { FilesystemUploads } from './filesystem-uploads.js';
import { countRows } from './frames.js';
import { newestIn, type Epoch, type UploadFolder } from './upload-folder.js';

/** An upload that takes rows, in whichever process. */
interface OpenUpload {
  readonly folder: UploadFolder;
  readonly epoch: Epoch;
}

/** Which uploads there are, and when those end that nobody goes on with. */
export class UploadList {
  constructor(
    private readonly root: string,
    private readonly uploads: FilesystemUploads,
    private readonly endedUploads: EndedUploads,
    private readonly ttlMs: number,
  ) {}

  private async *open(damaged: string[] = []): AsyncGenerator<OpenUpload> {
    for (const name of await namesIn(this.root)) {
      const epoch = await newestIn(join(this.root, name)).catch((error: unknown) => {
        if (!isCorrupt(error)) throw error;
        // Who asks for it is told.
        damaged.push(error.message);
        return undefined;
      });
      if (epoch?.standing !== 'open') continue;
      const { uploadId } = epoch.record;
      const folder = this.uploads.folderOf(uploadId);
      // Whoever ended it was killed before its rows were removed.
      if (await this.endedUploads.isKnown(uploadId)) await folder.remove();
      else yield { folder, epoch };
    }
  }

  /** StorageBackend.uploads. */
  async *list(query: { prefix: string; after?: string }): AsyncGenerator<UploadState> {
    const found: OpenUpload[] = [];
    for await (const upload of this.open()) {
      const { uploadId, key, copyOf } = upload.epoch.record;
      if (copyOf !== undefined || !key.startsWith(query.prefix)) continue;
      if (query.after === undefined || uploadId > query.after) found.push(upload);
    }
    const idOf = ({ epoch }: OpenUpload) => epoch.record.uploadId;
    found.sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
    for (const upload of found) yield await this.stateOf(upload);
  }

  private async stateOf({ folder, epoch }: OpenUpload): Promise<UploadState> {
    const { uploadId, key, base, createTime, createdBy } = epoch.record;
    const { updateTimeMs, isHeld } = await folder.measure(epoch);
    const held = this.uploads.held.get(uploadId);
    const hasStream = held?.holder !== undefined || isHeld;
    return {
      ...{ uploadId, key, hasStream, createdBy, updateTimeMs, createTimeMs: milliseconds(createTime) },
      durableRowCount: held?.rows.durableRowCount ?? (await countRows(folder, Number(base?.rowCount ?? 0))),
      expireTimeMs: hasStream ? undefined : updateTimeMs + this.ttlMs,
    };
  }

  /** Bytes and number of uploads: there are at most OPEN_UPLOADS_MAX. */
  async totals(): Promise<{ sizeBytes: number; uploadCount: number; failure: string | undefined }> {
    const damaged: string[] = [];
    let sizeBytes = 0;
    let uploadCount = 0;
    for await (const { folder, epoch } of this.open(damaged)) {
      sizeBytes += (await folder.measure(epoch)).sizeBytes;
      if (epoch.record.copyOf === undefined) uploadCount++;
    }
    const failure = damaged.length === 0 ? undefined : `${damaged.length} uploads can't be read. ${damaged[0]}`;
    return { sizeBytes, uploadCount, failure };
  }

  /** Ends uploads whose time is over, and forgets those that ended long ago. */
  async expire(nowMs: number): Promise<void> {
    for await (const { folder, epoch } of this.open()) {
      const { updateTimeMs, isHeld } = await folder.measure(epoch);
      const { uploadId } = epoch.record;
      if (isHeld || this.uploads.held.has(uploadId) || nowMs - updateTimeMs <= this.ttlMs) continue;
      await this.uploads.finish(uploadId, 'expired');
    }
    await this.endedUploads.forget(nowMs - UPLOAD_MEMORY_MS);
  }
}
