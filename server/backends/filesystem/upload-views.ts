import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfCancelled } from '../../errors.js';
import { ifThere } from '../files.js';
import { schemaOf, type Batch, type Schema } from '../../rows/batch.js';
import { selectRows, type Selection } from '../../rows/select.js';
import type { UploadView } from '../backend.js';
import { corrupt } from '../blocks/block-format.js';
import { unknownUpload } from '../uploads/upload-errors.js';
import { endedView, openView, soFar, type UploadSource } from '../uploads/upload-view.js';
import { committedRecord, manifestOf } from '../uploads/uploads.js';
import type { EndedUploads } from './ended-uploads.js';
import { endedRecord, type FilesystemUploads } from './filesystem-uploads.js';
import { KeptPlaces } from './frame-places.js';
import { checkAcked, loadLeft, partsBefore, readFrames, type Part } from './frames.js';
import type { FilesystemResults } from './results.js';
import { FRAMES_FILE, type Epoch, type UploadFolder } from './upload-folder.js';

/** Uploads in progress as others see them: of this process, of another one, and of none. */
export class UploadViews {
  private readonly places = new KeptPlaces();

  constructor(
    private readonly uploads: FilesystemUploads,
    private readonly ended: EndedUploads,
    private readonly results: FilesystemResults,
    private readonly readBase: UploadSource['base'],
  ) {}

  /** StorageBackend.viewUpload. */
  async view(uploadId: string): Promise<UploadView> {
    const ended = await this.ended.find(uploadId);
    if (ended !== undefined) return endedView(uploadId, ended);
    const folder = this.uploads.folderOf(uploadId);
    const epoch = await folder.newest();
    // It may have ended, and been removed, between the two looks.
    if (epoch === undefined) return endedView(uploadId, await this.ended.find(uploadId));
    const { record, standing } = epoch;
    if (standing === 'forgotten' || record.copyOf !== undefined) throw unknownUpload(uploadId);
    const held = this.uploads.held.get(uploadId)?.rows;
    const isHeldHere = held?.epoch.number === epoch.number;
    // Of a process that ended in its commit, or was quicker with it, only the result itself may tell yet.
    const slot = isHeldHere ? undefined : await this.results.commitOf(record.key, uploadId);
    if (slot !== undefined) return endedView(uploadId, committedRecord(record, slot.manifest));
    if (standing !== 'open') return endedView(uploadId, endedRecord(uploadId, record.key, standing));
    const rowCount = isHeldHere ? held.durableRowCount : await this.durableRows(folder, epoch);
    const schema = schemaOf(record.problem?.variables ?? []);
    return openView(manifestOf(record, soFar(rowCount)), record.base, {
      base: this.readBase,
      own: (selection, signal) => this.readOwn(folder, epoch, schema, selection, signal),
    });
  }

  /**
   * How many rows count of an upload that this process does not have: those whose process has said that they are durable. A sync of
   * what else it has written would prove nothing, as one that failed before may have lost it. While a process takes the upload
   * over, those count that it surely goes on from.
   */
  private async durableRows(folder: UploadFolder, epoch: Epoch): Promise<number> {
    const parts = await partsBefore(folder, Infinity);
    let rowCount = Number(epoch.record.base?.rowCount ?? 0);
    for (const part of parts) {
      if (part.endRow !== Infinity) rowCount = part.endRow;
      else if (part.epoch === epoch.number) {
        const file = await ifThere(open(framesPath(folder, part), 'r'));
        if (file === undefined) {
          await checkAcked(folder, part.epoch, rowCount, undefined);
          continue;
        }
        await using frames = file;
        const places = this.places.of(framesPath(folder, part), rowCount, folder.frameTag);
        await places.extend(frames, part.endRow);
        const { nextRow, endBytes } = places;
        await checkAcked(folder, part.epoch, nextRow, { file: frames, endBytes });
        const left = Math.min(await loadLeft(folder, part.epoch), nextRow);
        rowCount = Math.max(rowCount, places.markedRow, left);
      }
    }
    return rowCount;
  }

  /** Streams rows of the epochs' frames. Ends early where the upload has ended, or another process has taken it over, meanwhile. */
  private async *readOwn(
    folder: UploadFolder,
    epoch: Epoch,
    schema: Schema,
    selection: Selection,
    signal: AbortSignal,
  ): AsyncGenerator<Batch> {
    const end = selection.firstRow + selection.rowCount;
    let at = selection.firstRow;
    let partFirst = Number(epoch.record.base?.rowCount ?? 0);
    for (const part of await partsBefore(folder, epoch.number + 1)) {
      const path = framesPath(folder, part);
      const file = at < end ? await ifThere(open(path, 'r')) : undefined;
      if (file !== undefined) {
        await using frames = file;
        const places = this.places.of(path, partFirst, folder.frameTag);
        await places.extend(frames, part.endRow);
        const rows = { ...selection, firstRow: at, rowCount: Math.min(end, places.nextRow, part.endRow) - at };
        for await (const batch of readPart(frames, folder.frameTag, places.before(at), schema, rows, signal)) {
          at = batch.firstRow + batch.rowCount;
          yield batch;
        }
      }
      partFirst = part.endRow;
    }
    if (at < end && (await folder.isNewest(epoch))) throw corrupt(`rows from ${at} of upload ${folder.uploadId}`);
  }
}

function framesPath(folder: UploadFolder, { epoch }: Part): string {
  return join(folder.epochPath(epoch), FRAMES_FILE);
}

/** The selected rows of a file of frames, from a place before them on. */
async function* readPart(
  file: FileHandle,
  tag: number,
  from: number,
  schema: Schema,
  selection: Selection,
  signal: AbortSignal,
): AsyncGenerator<Batch> {
  const end = selection.firstRow + selection.rowCount;
  if (selection.rowCount <= 0) return;
  for await (const batch of readFrames(file, schema, tag, from)) {
    throwIfCancelled(signal);
    const part = selectRows(schema, batch, selection);
    if (part !== undefined) yield part;
    if (batch.firstRow + batch.rowCount >= end) return;
  }
}
