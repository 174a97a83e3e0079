import { randomFillSync } from 'node:crypto';
import { rm, stat, writeFile } from 'node:fs/promises';
import { ballastOf, diskOf, reserveOf } from './disk.js';

/**
 * A file that holds nothing, so that there is room when a disk is full: it goes where others have filled the disk, as a store
 * writes a little when it is opened and when something is deleted; and it comes back when there is room again.
 */
export class Ballast {
  constructor(
    private readonly path: string,
    /** A folder on the same disk that is there. */
    private readonly folder: string,
  ) {}

  /** Drops it where the disk has less left than it takes, and takes it up where there is room. Never fails: it is for bad times. */
  async settle(): Promise<void> {
    try {
      const disk = await diskOf(this.folder);
      const byteLength = ballastOf(disk);
      if (disk.freeBytes < byteLength) await this.drop();
      else if (disk.freeBytes >= reserveOf(disk) + 2 * byteLength) await this.takeUp(byteLength);
    } catch {
      // Without it the store works as well, until the disk is full.
    }
  }

  private async drop(): Promise<void> {
    await rm(this.path, { force: true });
  }

  private async takeUp(byteLength: number): Promise<void> {
    const has = await stat(this.path).catch(() => undefined);
    if (has !== undefined && has.size >= byteLength) return;
    try {
      // Not zeros: file systems that compress would keep no room for them.
      await writeFile(this.path, randomFillSync(Buffer.allocUnsafeSlow(byteLength)), { mode: 0o600 });
    } catch (error) {
      await this.drop();
      throw error;
    }
  }
}
