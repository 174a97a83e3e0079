/**
 * Memory for messages that is used again. A message of 1 MiB in memory of its own costs 256 page faults, and V8 marks its heap
 * each few dozen of them: more than all that is done with its bytes.
 */
export class MessageMemory {
  private readonly free: Buffer[] = [];

  /** Keeps at most `keptCount` pieces of `pieceBytes` that nobody uses. */
  constructor(
    private readonly pieceBytes: number,
    private readonly keptCount: number,
  ) {}

  /** Memory of just this size, whatever it holds. */
  take(byteLength: number): Buffer {
    // Much smaller ones would hold what they don't use.
    if (byteLength > this.pieceBytes || byteLength < this.pieceBytes / 8) return Buffer.allocUnsafe(byteLength);
    return (this.free.pop() ?? Buffer.allocUnsafeSlow(this.pieceBytes)).subarray(0, byteLength);
  }

  /** Gives back what `take` gave, when nobody looks at it any more. */
  give(bytes: Buffer): void {
    if (bytes.buffer.byteLength === this.pieceBytes && this.free.length < this.keptCount)
      this.free.push(Buffer.from(bytes.buffer));
  }
}
