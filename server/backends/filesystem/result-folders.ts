import { join } from 'node:path';
import { rename, symlink, utimes, stat } from 'node:fs/promises';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ManifestSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { StorageError } from '../../errors.js';
import { corrupt } from '../blocks/block-format.js';
import { codeOf, ifThere, syncFolder } from '../files.js';
import { decodeJson, encodeJson, messageJson, messageOf } from './checked-json.js';
import {
  ifFree,
  linkFile,
  makeFolder,
  namesIn,
  numbersIn,
  readIfThere,
  removeFolder,
  removeIfOld,
  replaceFile,
  temporaryName,
  writeNew,
} from './durable-files.js';
import { folderName, numberName } from './names.js';

/** What a key has at one of its changes. */
export interface Slot {
  readonly folder: string;
  readonly number: number;
  readonly manifest: Manifest;
}

/** A file to be put into a slot: as a second name of one that is durable. */
export interface SlotFile {
  readonly source: string;
  readonly name: string;
}

const RESULT_FILE = 'result.json';
const KEY_FILE = 'key.json';
const LATEST = 'latest';

/**
 * The folders of keys and their slots. Each change of a key is a folder of its own, numbered without gaps: a slot, made by
 * renaming a whole folder to a name that must be free, so that of processes that change a key at once one comes first. A slot
 * is never changed, but for what it says of replication.
 */
export class ResultFolders {
  constructor(
    private readonly root: string,
    private readonly temporary: string,
  ) {}

  /** Where a file of a key lies; its name begins with its slot. */
  pathOf(key: string, name: string): string {
    return join(this.root, folderName(key), name);
  }

  /** Folders of all keys. */
  folders(): Promise<string[]> {
    return namesIn(this.root);
  }

  /** Numbers of a folder's slots, in order. */
  slots(folder: string): Promise<number[]> {
    return numbersIn(join(this.root, folder));
  }

  /** Whether something lies in a folder that was prepared and not made visible: its process works on it, or has ended. */
  async hasPrepared(folder: string): Promise<boolean> {
    return (await namesIn(join(this.root, folder))).some((name) => name.startsWith('.'));
  }

  /** Takes away what was prepared before a time: its process has ended, or makes it again. */
  async removePrepared(folder: string, beforeMs: number): Promise<void> {
    for (const name of await namesIn(join(this.root, folder)))
      if (name.startsWith('.')) await removeIfOld(join(this.root, folder, name), beforeMs, this.temporary);
  }

  /** What a slot says. RESULT_CORRUPT; undefined where it is not there, or no longer. */
  async load(folder: string, number: number): Promise<Slot | undefined> {
    const path = join(this.root, folder, numberName(number));
    const bytes = await readIfThere(join(path, RESULT_FILE));
    if (bytes === undefined) {
      if ((await ifThere(stat(path))) !== undefined) throw corrupt(`${join(path, RESULT_FILE)} is lacking`);
      return undefined;
    }
    const file = join(path, RESULT_FILE);
    const manifest = decodeManifest(bytes, file, number);
    if (folderName(manifest.key) !== folder) throw corrupt(`${file} is that of another result`);
    return { folder, number, manifest };
  }

  /** The slot with the greatest number. RESULT_CORRUPT; undefined where there is none. */
  async newest(folder: string): Promise<Slot | undefined> {
    for (;;) {
      const number = (await this.slots(folder)).at(-1);
      if (number === undefined) {
        await this.checkRoot();
        return undefined;
      }
      const slot = await this.load(folder, number);
      // Superseded and removed since its name was read.
      if (slot !== undefined) return slot;
    }
  }

  /** Without this, a disk that is not mounted would be a store that is empty. */
  private async checkRoot(): Promise<void> {
    if ((await ifThere(stat(this.root))) === undefined)
      throw new StorageError(
        'BACKEND_UNAVAILABLE',
        `The store's folder ${this.root} is gone. Mount its disk, or put it back.`,
      );
  }

  /** The folder of a key, made when absent: whole, with the file that says whose it is. Its name is durable with its first slot. */
  async ensure(key: string): Promise<string> {
    const folder = folderName(key);
    if ((await ifThere(stat(join(this.root, folder)))) !== undefined) return folder;
    const made = join(this.temporary, temporaryName());
    await makeFolder(made);
    await writeNew(join(made, KEY_FILE), encodeJson({ key }));
    await syncFolder(made);
    if (!(await ifFree(rename(made, join(this.root, folder))))) await removeFolder(made, this.temporary);
    return folder;
  }

  /** The key of a folder, also where what it has can't be read; undefined where that can't be told. */
  async keyOf(folder: string): Promise<string | undefined> {
    const file = join(this.root, folder, KEY_FILE);
    const bytes = await readIfThere(file);
    if (bytes === undefined) return undefined;
    try {
      const { key } = decodeJson(bytes, file);
      return typeof key === 'string' && folderName(key) === folder ? key : undefined;
    } catch {
      return undefined;
    }
  }

  /**
   * Prepares a slot under a temporary name: durable, but for the name. `tag`: names it to who may take it away.
   * Undefined where someone has taken it away already. RESULT_CORRUPT where a file to be shared is not there.
   */
  async stage(
    folder: string,
    number: number,
    tag: string,
    manifest: Manifest,
    files: readonly SlotFile[],
  ): Promise<string | undefined> {
    const stage = join(this.root, folder, `.${numberName(number)}.${tag}.${temporaryName().slice(1)}`);
    await makeFolder(stage);
    try {
      for (const { source, name } of files) await linkFile(source, join(stage, name));
      await writeNew(join(stage, RESULT_FILE), encodeManifest(manifest, number));
      await syncFolder(stage);
      return stage;
    } catch (error) {
      if ((await ifThere(stat(stage))) === undefined) return undefined;
      await removeFolder(stage, this.temporary);
      if (codeOf(error) === 'ENOENT') throw corrupt(`a file of rows in ${join(this.root, folder)} is lacking`);
      throw error;
    }
  }

  /** Gives a prepared slot its number, durably; false where another process was quicker, or took it away. */
  async place(stage: string, folder: string, number: number): Promise<boolean> {
    const path = join(this.root, folder, numberName(number));
    if ((await ifThere(ifFree(rename(stage, path)))) !== true) {
      await removeFolder(stage, this.temporary);
      return false;
    }
    await this.settle(folder, number);
    return true;
  }

  /** Makes a slot durable whose process may have ended, or failed, before it did, and the name of its folder with the first one. */
  async settle(folder: string, number: number): Promise<void> {
    await syncFolder(join(this.root, folder));
    if (number === 1) await syncFolder(this.root);
  }

  /** Takes prepared slots away: their process makes them again, unless what they wait for has come to an end. */
  async unstage(folder: string, isMeant: (number: number, tag: string) => boolean): Promise<void> {
    for (const name of await namesIn(join(this.root, folder))) {
      const [, number, tag] = /^\.(\d+)\.([^.]*)\./.exec(name) ?? [];
      if (number !== undefined && tag !== undefined && isMeant(Number(number), tag))
        await removeFolder(join(this.root, folder, name), this.temporary);
    }
  }

  /** When a slot was made. Undefined where it is not there. */
  async madeMs(folder: string, number: number): Promise<number | undefined> {
    return (await ifThere(stat(join(this.root, folder, numberName(number)))))?.mtimeMs;
  }

  /**
   * Removes a superseded slot. What was prepared under its number goes first: a process that slept meanwhile would
   * find the number free, and take it behind newer ones.
   */
  async remove(folder: string, number: number): Promise<void> {
    await this.unstage(folder, (staged) => staged <= number);
    await removeFolder(join(this.root, folder, numberName(number)), this.temporary);
  }

  /** Writes again what a slot says; its age stays as it is. Does nothing where the slot is gone. */
  async rewrite({ folder, number, manifest }: Slot): Promise<void> {
    const path = join(this.root, folder, numberName(number));
    const before = await ifThere(stat(path));
    if (before === undefined) return;
    await ifThere(replaceFile(path, RESULT_FILE, encodeManifest(manifest, number)));
    await ifThere(utimes(path, before.atime, before.mtime));
  }

  /** Points `latest` at a slot, for people; a file system without symbolic links goes without. */
  async point(folder: string, number: number): Promise<void> {
    const temporary = join(this.root, folder, temporaryName());
    try {
      await symlink(numberName(number), temporary);
      await rename(temporary, join(this.root, folder, LATEST));
    } catch {
      // Nothing in the store reads it.
    }
  }

  /** Makes a slot's result.json known under another path as well; false where something is there. */
  linkResult(folder: string, number: number, to: string): Promise<boolean> {
    return ifFree(linkFile(join(this.root, folder, numberName(number), RESULT_FILE), to));
  }
}

/** A manifest as result.json has it. */
function encodeManifest(manifest: Manifest, slot: number): Buffer {
  return encodeJson({ slot, result: messageJson(ManifestSchema, { ...manifest, changeNumber: 0n }) });
}

/** A manifest that result.json has. RESULT_CORRUPT, also where it is that of another slot; those of before don't say of which. */
export function decodeManifest(bytes: Buffer, file: string, slot?: number): Manifest {
  const content = decodeJson(bytes, file);
  if (slot !== undefined && content['slot'] !== undefined && content['slot'] !== slot) throw corrupt(file);
  return messageOf(ManifestSchema, content['result'], file);
}
