import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { milliseconds } from '../../times.js';
import type { UploadStore } from '../uploads/upload-store.js';
import type { Change } from './index-entries.js';
import type { Frame } from './journal.js';
import { recoverUpload, type RowsBounds } from './recovery.js';
import type { Places } from './upload-writer.js';
import { UploadWriter } from './upload-writer.js';

/** Uploads in journal, segments and index. */
export class LeveldbUploads implements UploadStore<UploadWriter, Change> {
  constructor(private readonly places: Places) {}

  ended(uploadId: string): Promise<UploadRecord | undefined> {
    return this.places.index.upload(uploadId);
  }

  begin(record: UploadRecord): UploadWriter {
    return new UploadWriter(this.places, record);
  }

  async mend(rows: UploadWriter): Promise<UploadWriter> {
    const { frames, durableRowCount, segment } = await rows.giveUp();
    const bounds = { rowsMax: durableRowCount, ackedRows: durableRowCount, segment };
    return this.bringBack(rows.record, frames, bounds, rows.isPersisted);
  }

  /** What is on disk of an upload; durable then. `isPersisted`: its record is too. */
  async bringBack(
    record: UploadRecord,
    frames: readonly Frame[],
    bounds?: RowsBounds,
    isPersisted = true,
  ): Promise<UploadWriter> {
    const { segmentName } = new UploadWriter(this.places, record);
    const { segments, journal } = this.places;
    const { recovered, unneeded, damage } = await recoverUpload(segments, segmentName, record, frames, bounds);
    if (damage === undefined) journal.release(unneeded);
    return new UploadWriter(this.places, record, { ...recovered, isPersisted }, damage);
  }

  async complete(rows: UploadWriter, manifest: Manifest): Promise<Change[]> {
    const { segment, image, columns } = await rows.finish();
    manifest.columns = columns;
    if (segment === undefined) return [];
    manifest.segments = [...manifest.segments, segment];
    manifest.sizeBytes += segment.sizeBytes;
    return image === undefined ? [] : [this.places.index.putInline(segment.name, image)];
  }

  remember(record: UploadRecord): Change[] {
    return this.places.index.putUpload(record);
  }

  drop(uploadId: string): Change[] {
    return this.places.index.removeUpload(uploadId);
  }

  async end(rows: UploadWriter, record: UploadRecord): Promise<void> {
    await this.places.index.write(this.places.index.putUpload(record));
    const hadSegment = rows.hasSegment || rows.damage !== undefined;
    await rows.close();
    // Of one that is damaged it may be lost. What can't be removed now, the next start removes.
    if (hadSegment) await rm(join(this.places.segments, rows.segmentName), { force: true }).catch(() => undefined);
  }

  endDamaged(record: UploadRecord): Promise<void> {
    const { index } = this.places;
    // It may be that of a commit, whose result stays.
    return index.write([index.removeCommitted(record.uploadId), ...index.putUpload(record)]);
  }

  async forget(endedBeforeMs: number): Promise<void> {
    const { index } = this.places;
    for await (const record of index.uploads('gone'))
      if (milliseconds(record.updateTime) < endedBeforeMs) await index.write(index.removeUpload(record.uploadId));
  }
}
