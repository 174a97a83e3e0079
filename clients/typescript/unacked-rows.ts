import type { EncodedMessage } from '../../server/rows/message-codec.js';

/** Rows as the message in which they are sent, once or, where the connection breaks, again. */
export interface Unacked {
  readonly endRow: number;
  /** Of the rows. */
  readonly byteLength: number;
  readonly message: EncodedMessage;
}

/** The messages of a save that are not acked, in their order: those that its stream was given, then those that wait for it. */
export class UnackedRows {
  private readonly messages: Unacked[] = [];
  private sentCount = 0;
  private sentBytes = 0;
  byteLength = 0;
  /** The row behind those that any stream was given. */
  sentTo = 0;

  get count(): number {
    return this.messages.length;
  }

  get hasUnsent(): boolean {
    return this.sentCount < this.messages.length;
  }

  get unsentBytes(): number {
    return this.byteLength - this.sentBytes;
  }

  push(rows: Unacked): void {
    this.messages.push(rows);
    this.byteLength += rows.byteLength;
  }

  /** The message that is to be sent next, which counts as sent. */
  next(): EncodedMessage | undefined {
    const next = this.messages[this.sentCount];
    if (next === undefined) return undefined;
    this.sentCount++;
    this.sentBytes += next.byteLength;
    this.sentTo = Math.max(this.sentTo, next.endRow);
    return next.message;
  }

  /** All is to be sent again. */
  sendAgain(): void {
    this.sentCount = 0;
    this.sentBytes = 0;
  }

  /** Takes out what is durable: rows up to this one, exclusive. */
  ackTo(rows: number): EncodedMessage[] {
    const kept = this.messages.findIndex(({ endRow }) => endRow > rows);
    const done = this.messages.splice(0, kept < 0 ? this.messages.length : kept);
    for (const [i, { byteLength }] of done.entries()) {
      this.byteLength -= byteLength;
      // What another stream had sent may be acked before this one was given it.
      if (i < this.sentCount) this.sentBytes -= byteLength;
    }
    this.sentCount = Math.max(this.sentCount - done.length, 0);
    return done.map(({ message }) => message);
  }
}
