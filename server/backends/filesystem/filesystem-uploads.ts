import { create } from '@bufbuild/protobuf';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import type { Manifest, UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { UploadOutcome, UploadRecordSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Problem } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { isCorrupt, StorageError, unlessCorrupt } from '../../errors.js';
import { OPEN_UPLOADS_MAX } from '../../limits.js';
import type { CommitSpec, Upload, UploadSpec } from '../backend.js';
import { IngestBudget } from '../uploads/ingest-budget.js';
import { SerialByName } from '../serial.js';
import type { CopyRows } from '../uploads/copies.js';
import { FencedUpload } from '../uploads/fenced-upload.js';
import {
  checkRevision,
  checkSame,
  committedRevision,
  endedError,
  rowCountMismatch,
  storeCloses,
  takenOver,
  tooManyUploads,
  unknownUpload,
} from '../uploads/upload-errors.js';
import type { CommitStore } from '../uploads/upload-store.js';
import { baseOf, committedRecord, newCopyRecord, newRecord, publicationOf, reopenEnded } from '../uploads/uploads.js';
import { ifThere } from '../files.js';
import { namesIn } from './durable-files.js';
import type { EndedUploads } from './ended-uploads.js';
import { saveLeft } from './frames.js';
import { folderName } from './names.js';
import type { Change, FilesystemResults } from './results.js';
import { UploadFolder, type Epoch, type Standing } from './upload-folder.js';
import { FilesystemRows } from './upload-rows.js';

/** An upload that this process has a handle of. */
export interface HeldUpload {
  readonly folder: UploadFolder;
  readonly rows: FilesystemRows;
  holder: FencedUpload | undefined;
}

/** Each attempt that fails is one that succeeded in another process. */
const ATTEMPTS_MAX = 100;

/**
 * The uploads of a store: who holds them, how they become results, how they end. What is true of one stands in its folder, as
 * several processes may share it; here is what this process holds.
 */
export class FilesystemUploads implements CopyRows<FilesystemRows>, CommitStore<FilesystemRows, Change> {
  readonly held = new Map<string, HeldUpload>();
  private readonly ids = new SerialByName();
  private readonly budget = new IngestBudget();

  constructor(
    private readonly root: string,
    private readonly temporary: string,
    private readonly results: FilesystemResults,
    private readonly ended: EndedUploads,
  ) {}

  /** The folder of an upload. */
  folderOf(uploadId: string): UploadFolder {
    return new UploadFolder(this.root, this.temporary, uploadId);
  }

  /** StorageBackend.openUpload. */
  open(spec: UploadSpec): Promise<Upload> {
    return this.ids.run(spec.uploadId, async () => {
      const held = this.held.get(spec.uploadId);
      if (held !== undefined) {
        checkSame(held.rows.record, spec);
        await this.letGo(held, takenOver(spec.uploadId));
      }
      const taken = await this.obtain(
        spec,
        (record) => checkSame(record, spec),
        () => this.newUpload(spec),
      );
      return taken instanceof FilesystemRows ? this.hold(taken) : reopenEnded(taken, spec);
    });
  }

  /** What this process received of an upload is synced or dropped before it goes on elsewhere. */
  private async letGo({ rows, holder, folder }: HeldUpload, reason: StorageError): Promise<void> {
    holder?.fence(reason);
    await rows.suspend();
    this.held.delete(folder.uploadId);
  }

  private async newUpload(spec: UploadSpec): Promise<UploadRecord> {
    const newest = await this.results.newest(spec.key);
    checkRevision(spec.key, spec.expectedRevision, committedRevision(newest));
    const record = newRecord(spec, spec.append ? baseOf(spec, newest) : undefined);
    if ((await namesIn(this.root)).length >= OPEN_UPLOADS_MAX) throw tooManyUploads();
    return record;
  }

  /** Begins an upload, or takes it over from whoever has it; the record of one that has ended. */
  private async obtain(
    { uploadId, key }: Pick<UploadSpec, 'uploadId' | 'key'>,
    check: (record: UploadRecord) => void,
    begin: () => Promise<UploadRecord>,
  ): Promise<FilesystemRows | UploadRecord> {
    const folder = this.folderOf(uploadId);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const ended = await this.ended.find(uploadId);
      if (ended !== undefined) return ended;
      const newest = await folder.newest();
      if (newest === undefined) {
        const result = await this.forgottenResult(key, uploadId);
        if (result !== undefined) return result;
        const epoch = await folder.begin(await begin());
        // It may have ended, and been removed, between the two looks.
        if (epoch !== undefined && (await this.ended.find(uploadId)) !== undefined) await folder.remove();
        else if (epoch !== undefined) return this.enter(folder, epoch);
      } else if (newest.standing === 'forgotten') await folder.forget(newest);
      else if (newest.standing !== 'open') await this.settleEnd(folder, newest);
      else {
        check(newest.record);
        const taken = await this.take(folder, newest);
        if (taken !== undefined) return taken;
      }
    }
    throw takenOver(uploadId);
  }

  /** What an upload became whose end was lost; the key's slots still tell, those that can be read. */
  private async forgottenResult(key: string, uploadId: string): Promise<UploadRecord | undefined> {
    const slot = await this.results.commitOf(key, uploadId).catch(unlessCorrupt);
    if (slot === undefined) return undefined;
    await this.ended.rememberResult(uploadId, slot);
    return committedRecord({ uploadId, number: 0 }, slot.manifest);
  }

  /** Takes an upload over; the record of one that turns out to be a result; undefined where another was quicker. */
  private async take(folder: UploadFolder, before: Epoch): Promise<FilesystemRows | UploadRecord | undefined> {
    const epoch = await folder.follow(before, 'open');
    if (epoch === undefined) return undefined;
    const committed = await this.committed(folder, epoch.record);
    if (committed !== undefined) return committedRecord(epoch.record, committed);
    return this.enter(folder, epoch);
  }

  /**
   * What an upload became whose process ended, or was fenced, in its commit. An epoch is there that follows on
   * that process's: what it has prepared is taken away first, so that it becomes a result before this look or never.
   */
  private async committed(folder: UploadFolder, record: UploadRecord): Promise<Manifest | undefined> {
    // A copy's rows become a result of the upload that they were copied from.
    const { key, copyOf } = record;
    await this.results.folders.unstage(folderName(key), (_, tag) => tag === folder.tag);
    if (copyOf !== undefined) return undefined;
    const slot = await this.results.commitOf(key, folder.uploadId);
    if (slot === undefined) return undefined;
    await this.ended.rememberResult(folder.uploadId, slot);
    await folder.remove();
    return slot.manifest;
  }

  private async enter(folder: UploadFolder, epoch: Epoch): Promise<FilesystemRows> {
    const failed = (error: StorageError) => {
      const entry = this.held.get(folder.uploadId);
      if (entry?.rows.epoch === epoch) entry.holder?.fence(error);
    };
    const rows = await FilesystemRows.open({ folder, budget: this.budget, failed }, epoch);
    this.held.set(folder.uploadId, { folder, rows, holder: undefined });
    return rows;
  }

  private hold(rows: FilesystemRows): Upload {
    const { uploadId, problem } = rows.record;
    const entry = this.held.get(uploadId) as HeldUpload;
    entry.holder = new FencedUpload(
      rows,
      problem as Problem,
      (spec) => this.ids.run(uploadId, () => this.commit(entry, spec)),
      (handle) => this.ids.run(uploadId, () => this.release(entry, handle)),
    );
    return entry.holder;
  }

  private async release(entry: HeldUpload, handle: FencedUpload): Promise<void> {
    const { folder, rows } = entry;
    if (entry.holder !== handle || this.held.get(folder.uploadId) !== entry) return;
    await rows.suspend();
    this.held.delete(folder.uploadId);
    await this.leave(entry);
  }

  /** Says that nobody holds it any more. Of an upload without rows nobody was told anything: it need not be remembered. */
  private async leave({ folder, rows }: HeldUpload): Promise<void> {
    if (rows.durableRowCount > 0) {
      await ifThere(saveLeft(folder, rows.epoch.number, rows.durableRowCount));
      await folder.markHeld(rows.epoch, false);
    } else await this.forgetUpload(folder, rows.epoch);
  }

  private async forgetUpload(folder: UploadFolder, epoch: Epoch): Promise<void> {
    const last = await folder.follow(epoch, 'forgotten');
    if (last !== undefined) await folder.forget(last);
  }

  private async commit(entry: HeldUpload, spec: CommitSpec): Promise<Manifest> {
    const { rows, folder } = entry;
    const { key, uploadId } = rows.record;
    const before = (await this.ended.find(uploadId))?.committed;
    if (before !== undefined) return before;
    if (spec.rowCount !== rows.nextRow) throw rowCountMismatch(spec.rowCount, rows.nextRow);
    let committed: Manifest;
    try {
      committed = await this.results.publish(key, (newest) => publicationOf(this, rows, spec, newest));
    } catch (error) {
      // Refused, and the upload goes on. Of all else only its folder knows what came of it.
      const isRefused = error instanceof StorageError && error.reason === 'REVISION_MISMATCH';
      throw isRefused ? error : rows.fail(error);
    }
    this.held.delete(uploadId);
    await rows.close();
    await folder.remove();
    return committed;
  }

  async complete(rows: FilesystemRows, manifest: Manifest): Promise<Change[]> {
    return [await rows.complete(manifest)];
  }

  remember({ uploadId }: UploadRecord): Change[] {
    return [{ after: (slot) => this.ended.rememberResult(uploadId, slot) }];
  }

  /** Copies are forgotten once they are results: see `copied`. */
  drop(): Change[] {
    return [];
  }

  /** Rows of a copy that was begun before, by whichever process, or of a new one. */
  rowsOfCopy(uploadId: string, source: Manifest): Promise<FilesystemRows> {
    return this.ids.run(uploadId, async () => {
      const held = this.held.get(uploadId);
      if (held !== undefined) await this.letGo(held, takenOver(uploadId));
      const taken = await this.obtain(
        { uploadId, key: source.key },
        () => undefined,
        () => Promise.resolve(newCopyRecord(uploadId, source)),
      );
      if (taken instanceof FilesystemRows) return taken;
      throw endedError(taken);
    });
  }

  copied(uploadId: string): Promise<void> {
    return this.end(uploadId);
  }

  /** Forgets a copy, whatever it has. */
  end(uploadId: string): Promise<void> {
    return this.ids.run(uploadId, async () => {
      const held = this.held.get(uploadId);
      if (held === undefined) return;
      this.held.delete(uploadId);
      await held.rows.close();
      await this.forgetUpload(held.folder, held.rows.epoch);
    });
  }

  async cutOff(uploadId: string): Promise<void> {
    await this.ids.run(uploadId, async () => {
      const held = this.held.get(uploadId);
      if (held === undefined) return;
      await held.rows.suspend();
      this.held.delete(uploadId);
      await this.leave(held);
    });
  }

  /** Ends an upload without a result and removes its rows. UPLOAD_NOT_FOUND, UPLOAD_COMMITTED. */
  async finish(uploadId: string, standing: 'aborted' | 'expired'): Promise<void> {
    // Not within the upload's serial: who still sends is stopped first.
    const held = this.held.get(uploadId);
    const { key } = held?.rows.record ?? { key: '' };
    held?.holder?.fence(endedError(endedRecord(uploadId, key, standing)));
    await this.ids.run(uploadId, async () => {
      const entry = this.held.get(uploadId);
      await entry?.rows.close();
      this.held.delete(uploadId);
      const folder = this.folderOf(uploadId);
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        const ended = await this.ended.find(uploadId);
        if (ended?.outcome === UploadOutcome.ABORTED) return;
        if (ended !== undefined) throw endedError(ended);
        const newest = await newestOrDamaged(folder);
        if (newest === 'damaged') {
          await this.ended.remember(endedRecord(uploadId, key, standing));
          return folder.remove();
        }
        if (newest === undefined || newest.standing === 'forgotten') throw unknownUpload(uploadId);
        // Someone took it up since it was found to be over.
        if (standing === 'expired' && (await folder.measure(newest)).isHeld) return;
        const last = newest.standing === 'open' ? await folder.follow(newest, standing) : newest;
        if (last !== undefined) await this.settleEnd(folder, last);
        if (last !== undefined && standing === 'expired') return;
      }
      throw takenOver(uploadId);
    });
  }

  /** Remembers the end that an upload's last epoch says, unless it is a result all the same; then removes its rows. */
  private async settleEnd(folder: UploadFolder, { record, standing }: Epoch): Promise<void> {
    if ((await this.committed(folder, record)) !== undefined) return;
    await this.ended.remember(endedRecord(folder.uploadId, record.key, standing));
    await folder.remove();
  }

  /** Says again which uploads have a stream here; handles whose upload another process took are fenced. */
  async renew(): Promise<void> {
    for (const [uploadId, { folder, rows, holder }] of [...this.held]) {
      if (await folder.isNewest(rows.epoch)) await folder.markHeld(rows.epoch, true);
      else if (holder !== undefined) {
        const ended = await this.ended.find(uploadId);
        holder.fence(ended === undefined ? takenOver(uploadId) : endedError(ended));
      }
    }
  }

  /** Syncs all and lets them go; the uploads go on when the store is opened again. */
  async suspend(): Promise<void> {
    for (const held of [...this.held.values()]) {
      await this.letGo(held, storeCloses());
      await this.leave(held).catch(() => undefined);
    }
  }
}

/** For who ends it: also of an upload whose newest epoch does not check. */
async function newestOrDamaged(folder: UploadFolder): Promise<Epoch | 'damaged' | undefined> {
  try {
    return await folder.newest();
  } catch (error) {
    if (!isCorrupt(error)) throw error;
    return 'damaged';
  }
}

/** What is remembered of an upload that ended without a result. */
export function endedRecord(uploadId: string, key: string, standing: Standing): UploadRecord {
  const outcome = standing === 'expired' ? UploadOutcome.EXPIRED : UploadOutcome.ABORTED;
  return create(UploadRecordSchema, { uploadId, key, outcome, updateTime: timestampNow() });
}
