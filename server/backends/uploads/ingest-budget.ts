import { INGEST_BYTES_MAX } from '../../limits.js';

/** The bytes that all uploads together hold in memory, received and not yet written. */
export class IngestBudget {
  private usedBytes = 0;
  private waiting: (() => void)[] = [];

  take(byteLength: number): void {
    this.usedBytes += byteLength;
  }

  give(byteLength: number): void {
    this.usedBytes -= byteLength;
    if (this.hasRoom()) for (const resume of this.waiting.splice(0)) resume();
  }

  /** Whether uploads hold so much that what is written in vain is missed. */
  get isBusy(): boolean {
    return this.usedBytes > INGEST_BYTES_MAX / 4;
  }

  hasRoom(): boolean {
    return this.usedBytes <= INGEST_BYTES_MAX;
  }

  /** Resolves when there is room. Uploads are written within ACK_DELAY_MS whoever waits, so there will be. */
  async room(): Promise<void> {
    while (!this.hasRoom()) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }
}
