import { syncFolder } from './files.js';
import { Serial } from './serial.js';

/** Makes the names in a folder durable; all who ask for it while one sync runs share the next. */
export class FolderSync {
  private readonly serial = new Serial();
  private next: Promise<void> | undefined;

  constructor(private readonly path: string) {}

  /** Makes those durable that were made before the call. */
  sync(): Promise<void> {
    this.next ??= this.serial.run(() => {
      // Who asks from now on may have made a name that this one does not see.
      this.next = undefined;
      return syncFolder(this.path);
    });
    return this.next;
  }
}
