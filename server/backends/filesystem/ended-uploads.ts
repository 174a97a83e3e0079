import { join } from 'node:path';
import { lstat, unlink } from 'node:fs/promises';
import type { UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { UploadRecordSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { StorageError, unlessCorrupt } from '../../errors.js';
import { milliseconds } from '../../times.js';
import { ifThere, syncFolder } from '../files.js';
import { corrupt } from '../blocks/block-format.js';
import { committedRecord } from '../uploads/uploads.js';
import { decodeJson, encodeJson, messageJson, messageOf } from './checked-json.js';
import { namesIn, readIfThere, replaceFile } from './durable-files.js';
import { folderName } from './names.js';
import { decodeManifest, type ResultFolders, type Slot } from './result-folders.js';

const RESULT_SUFFIX = '.result.json';
const UPLOAD_SUFFIX = '.upload.json';

/** Ids of uploads that ended: of results, a second name of their result.json; of the others, what became of them. */
export class EndedUploads {
  constructor(
    private readonly root: string,
    private readonly folders: ResultFolders,
  ) {}

  /** What is known of an upload that ended. RESULT_CORRUPT. */
  async find(uploadId: string): Promise<UploadRecord | undefined> {
    const path = this.pathOf(uploadId, RESULT_SUFFIX);
    const result = await readIfThere(path);
    if (result !== undefined) {
      const manifest = decodeManifest(result, path);
      if (manifest.uploadId !== uploadId) throw corrupt(`${path} is that of another upload`);
      return committedRecord({ uploadId, number: 0 }, manifest);
    }
    const record = await readRecord(this.pathOf(uploadId, UPLOAD_SUFFIX));
    if (record !== undefined && record.uploadId !== uploadId) throw corrupt(`the end of upload ${uploadId}`);
    return record;
  }

  /** Whether an upload is known to have ended, however that reads. */
  async isKnown(uploadId: string): Promise<boolean> {
    for (const suffix of [RESULT_SUFFIX, UPLOAD_SUFFIX])
      if ((await ifThere(lstat(this.pathOf(uploadId, suffix)))) !== undefined) return true;
    return false;
  }

  /** Whether an upload is known as a result. */
  async isResult(uploadId: string): Promise<boolean> {
    return (await readIfThere(this.pathOf(uploadId, RESULT_SUFFIX))) !== undefined;
  }

  /** Remembers, durably, that an upload is a result: whatever was known of it before. */
  async rememberResult(uploadId: string, { folder, number }: Slot): Promise<void> {
    const path = this.pathOf(uploadId, RESULT_SUFFIX);
    const link = () => ifThere(this.folders.linkResult(folder, number, path));
    // What is there already may be the same file as a result.json that is damaged, and replaced.
    if ((await link()) === false && (await isDamaged(path))) {
      await ifThere(unlink(path));
      await link();
    }
    await syncFolder(this.root);
  }

  /** Remembers, durably, an upload that ended without a result. */
  remember(record: UploadRecord): Promise<void> {
    const content = { upload: messageJson(UploadRecordSchema, record) };
    return replaceFile(this.root, folderName(record.uploadId) + UPLOAD_SUFFIX, encodeJson(content));
  }

  /** Forgets uploads that ended without a result before a time. */
  async forget(endedBeforeMs: number): Promise<void> {
    for (const name of await namesIn(this.root)) {
      if (!name.endsWith(UPLOAD_SUFFIX)) continue;
      const path = join(this.root, name);
      // What is damaged is kept: nobody knows how old it is.
      const record = await readRecord(path).catch(unlessCorrupt);
      if (record !== undefined && milliseconds(record.updateTime) < endedBeforeMs) await ifThere(unlink(path));
    }
  }

  private pathOf(uploadId: string, suffix: string): string {
    return join(this.root, folderName(uploadId) + suffix);
  }
}

async function isDamaged(resultPath: string): Promise<boolean> {
  const bytes = await readIfThere(resultPath);
  if (bytes === undefined) return false;
  try {
    decodeManifest(bytes, resultPath);
    return false;
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    return true;
  }
}

async function readRecord(path: string): Promise<UploadRecord | undefined> {
  const bytes = await readIfThere(path);
  return bytes && messageOf(UploadRecordSchema, decodeJson(bytes, path)['upload'], path);
}
