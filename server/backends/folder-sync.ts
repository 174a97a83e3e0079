import { open, type FileHandle } from 'node:fs/promises';
import { Serial } from './serial.js';

/** Makes the names in a folder durable; all who ask for it while one sync runs share the next. The folder stays open meanwhile. */
export class FolderSync implements AsyncDisposable {
  private readonly serial = new Serial();
  private next: Promise<void> | undefined;
  private folder: FileHandle | undefined;

  constructor(private readonly path: string) {}

  /** Makes those durable that were made before the call. */
  sync(): Promise<void> {
    this.next ??= this.serial.run(() => {
      // Who asks from now on may have made a name that this one does not see.
      this.next = undefined;
      return this.syncNow();
    });
    return this.next;
  }

  private async syncNow(): Promise<void> {
    this.folder ??= await open(this.path, 'r');
    try {
      await this.folder.sync();
    } catch (error) {
      // The disk may be gone and come back: the folder is looked up anew.
      await this.close().catch(() => undefined);
      throw error;
    }
  }

  private async close(): Promise<void> {
    const { folder } = this;
    this.folder = undefined;
    await folder?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.serial.run(() => this.close());
  }
}
