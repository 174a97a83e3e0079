import { basename, dirname, join } from 'node:path';
import { rename, rmdir, stat, utimes } from 'node:fs/promises';
import type { UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { UploadRecordSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { milliseconds } from '../../times.js';
import { corrupt } from '../blocks/block-format.js';
import { ifThere, syncFolder } from '../files.js';
import { decodeJson, encodeJson, messageJson, messageOf } from './checked-json.js';
import { ifFree, makeFolder, numbersIn, readIfThere, removeFolder, temporaryName, writeNew } from './durable-files.js';
import { folderName, numberName } from './names.js';

/** A handle that is not renewed for this long is no longer there: its process was killed. */
export const HELD_MS = 60_000;

/** What became of an upload; `forgotten`: it had no rows when its handle was let go, or was a copy that is of no use. */
export type Standing = 'open' | 'aborted' | 'expired' | 'forgotten';

/** One process's turn at an upload, or what ended it. Epochs of an upload are numbered without gaps. */
export interface Epoch {
  readonly number: number;
  readonly standing: Standing;
  /** Whether it began the upload: all others go on from what those before have left. */
  readonly isFirst: boolean;
  readonly record: UploadRecord;
}

/** Where the rows of an epoch lie, in its folder. */
export const FRAMES_FILE = 'rows.frames';
const EPOCH_FILE = 'upload.json';
const RELEASED = new Date(1000);

/**
 * The folder of an upload. Each epoch is a folder in it that is made by renaming it, whole, to the number behind the newest
 * one, which must be free: of processes that want the upload one gets it. Rows are acked by who sees, after they
 * are on stable storage, that there is no newer epoch; who takes the upload over looks for rows after its epoch is there.
 */
export class UploadFolder {
  readonly path: string;
  /** Names what is prepared for its commit. */
  readonly tag: string;

  constructor(
    private readonly root: string,
    private readonly temporary: string,
    readonly uploadId: string,
  ) {
    const name = folderName(uploadId);
    this.path = join(root, name);
    this.tag = name.slice(name.lastIndexOf('-') + 1);
  }

  /** Names the upload in its frames: those of another one that took their place are known. Never 0, which older frames have. */
  get frameTag(): number {
    return (Number.parseInt(this.tag.slice(0, 8), 16) | 1) >>> 0;
  }

  /** The folder of an epoch. */
  epochPath(number: number): string {
    return join(this.path, numberName(number));
  }

  /** Numbers of the epochs, in order. */
  epochs(): Promise<number[]> {
    return numbersIn(this.path);
  }

  /** What the newest epoch says. RESULT_CORRUPT; undefined where there is no such upload. */
  newest(): Promise<Epoch | undefined> {
    return newestIn(this.path);
  }

  /** What an epoch says. RESULT_CORRUPT; undefined where it is not there. */
  load(number: number): Promise<Epoch | undefined> {
    return loadEpoch(this.path, number);
  }

  /**
   * Begins the upload; undefined where there is one already. Not durable before `settle`. Its first number is a time, so that
   * it is above all numbers of an earlier upload of that id, which is forgotten.
   */
  async begin(record: UploadRecord): Promise<Epoch | undefined> {
    const epoch: Epoch = { number: Date.now(), standing: 'open', isFirst: true, record };
    const folder = join(this.temporary, temporaryName());
    await makeFolder(folder);
    await this.write(join(folder, numberName(epoch.number)), epoch);
    if (await ifFree(rename(folder, this.path))) return epoch;
    await removeFolder(folder, this.temporary);
    return undefined;
  }

  /** Makes the epoch behind one; undefined where someone else was quicker. */
  async follow(before: Epoch, standing: Standing): Promise<Epoch | undefined> {
    const epoch: Epoch = { number: before.number + 1, standing, isFirst: false, record: before.record };
    const folder = join(this.temporary, temporaryName());
    await this.write(folder, epoch);
    // The whole upload may be gone.
    if ((await ifThere(ifFree(rename(folder, this.epochPath(epoch.number))))) === true) return epoch;
    await removeFolder(folder, this.temporary);
    return undefined;
  }

  private async write(folder: string, { number, standing, isFirst, record }: Epoch): Promise<void> {
    await makeFolder(folder);
    const content = { epoch: number, standing, is_first: isFirst, upload: messageJson(UploadRecordSchema, record) };
    await writeNew(join(folder, EPOCH_FILE), encodeJson(content));
    await syncFolder(folder);
  }

  /**
   * Whether no epoch has followed, and the upload is still there. In this order: one that followed and is removed again has
   * taken its predecessor away before it.
   */
  async isNewest({ number }: Epoch): Promise<boolean> {
    if ((await ifThere(stat(this.epochPath(number + 1)))) !== undefined) return false;
    return (await ifThere(stat(this.epochPath(number)))) !== undefined;
  }

  /** Makes the names of all that is in an epoch durable, and its own. */
  async settle({ number }: Epoch): Promise<void> {
    await syncFolder(this.epochPath(number));
    await syncFolder(this.path);
    await syncFolder(this.root);
  }

  /** Says that a process has a handle of it, for HELD_MS, or no longer. */
  async markHeld({ number }: Epoch, isHeld: boolean): Promise<void> {
    const time = isHeld ? new Date() : RELEASED;
    await ifThere(utimes(join(this.epochPath(number), EPOCH_FILE), time, time));
  }

  /** When its last row was written, what it takes, and whether a process has a handle of it. */
  async measure(epoch: Epoch): Promise<{ updateTimeMs: number; sizeBytes: number; isHeld: boolean }> {
    let updateTimeMs = milliseconds(epoch.record.createTime);
    let sizeBytes = 0;
    for (const number of await this.epochs()) {
      const frames = await ifThere(stat(join(this.epochPath(number), FRAMES_FILE)));
      if (frames === undefined) continue;
      updateTimeMs = Math.max(updateTimeMs, Math.floor(frames.mtimeMs));
      sizeBytes += frames.size;
    }
    const held = await ifThere(stat(join(this.epochPath(epoch.number), EPOCH_FILE)));
    return { updateTimeMs, sizeBytes, isHeld: (held?.mtimeMs ?? 0) > Date.now() - HELD_MS };
  }

  /** Removes an upload that ended, and whose end is remembered: no other of its id can be begun meanwhile. */
  remove(): Promise<void> {
    return removeFolder(this.path, this.temporary);
  }

  /**
   * Removes a forgotten upload, epoch by epoch up to the last one: another of its id may be begun as soon as the folder is
   * empty, and has greater numbers.
   */
  async forget({ number: last }: Epoch): Promise<void> {
    for (const number of await this.epochs())
      if (number <= last) await removeFolder(this.epochPath(number), this.temporary);
    await ifFree(ifThere(rmdir(this.path)));
  }
}

/** The newest epoch of the upload in a folder. RESULT_CORRUPT; undefined where there is none. */
export async function newestIn(path: string): Promise<Epoch | undefined> {
  for (;;) {
    const number = (await numbersIn(path)).at(-1);
    if (number === undefined) return undefined;
    const epoch = await loadEpoch(path, number);
    if (epoch !== undefined) return epoch;
  }
}

async function loadEpoch(path: string, number: number): Promise<Epoch | undefined> {
  const file = join(path, numberName(number), EPOCH_FILE);
  const bytes = await readIfThere(file);
  if (bytes === undefined) {
    // Its folder comes with it, and goes as a whole.
    if ((await ifThere(stat(dirname(file)))) !== undefined) throw corrupt(`${file} is lacking`);
    return undefined;
  }
  const { epoch, standing, is_first: isFirst, upload } = decodeJson(bytes, file);
  const record = messageOf(UploadRecordSchema, upload, file);
  const isOwn = folderName(record.uploadId) === basename(path) && (epoch === undefined || epoch === number);
  if (!isOwn) throw corrupt(`${file} is that of another upload`);
  return { number, standing: standing as Standing, isFirst: isFirst === true, record };
}
