/** Sizes that there are of it: the whole, a half, and so on: a message has more than half of what it is in, unless it is small. */
const HALVINGS_MAX = 4;

/**
 * Memory for messages that is used again. A message of 1 MiB in memory of its own costs 256 page faults, and V8 marks its heap
 * each few dozen of them: more than all that is done with its bytes.
 */
export class MessageMemory {
  /** In the order in which they were given back. */
  private free: Buffer[] = [];
  private freeBytes = 0;

  /** The largest piece, and how much is kept that nobody uses. */
  constructor(
    private readonly pieceBytes: number,
    private readonly keptBytes: number,
  ) {}

  /** Memory of just this size, whatever it holds. */
  take(byteLength: number): Buffer {
    const size = this.sizeFor(byteLength);
    if (size === undefined) return Buffer.allocUnsafe(byteLength);
    const at = this.free.findLastIndex((piece) => piece.byteLength === size);
    const [piece] = at < 0 ? [] : this.free.splice(at, 1);
    if (piece === undefined) return Buffer.allocUnsafeSlow(size).subarray(0, byteLength);
    this.freeBytes -= size;
    return piece.subarray(0, byteLength);
  }

  /** Gives back what `take` gave, when nobody looks at it any more. What was not used for longest goes where it is too much. */
  give(bytes: Buffer): void {
    const size = bytes.buffer.byteLength;
    if (size !== this.sizeFor(bytes.byteLength)) return;
    this.free.push(Buffer.from(bytes.buffer));
    this.freeBytes += size;
    while (this.freeBytes > this.keptBytes) this.freeBytes -= this.free.shift()?.byteLength ?? 0;
  }

  private sizeFor(byteLength: number): number | undefined {
    if (byteLength > this.pieceBytes || byteLength < this.pieceBytes / 2 ** HALVINGS_MAX) return undefined;
    let size = this.pieceBytes;
    while (byteLength <= size / 2) size /= 2;
    return size;
  }
}
