/** Ahead of a message in a stream: a byte of flags, and its length. */
export const ENVELOPE_BYTES = 5;
/** What an object takes beside its bytes, about: a message, or a piece of one. A peer that sends single bytes pays for it. */
const OBJECT_BYTES = 256;

/** What the messages of a body cost in memory, told as their bytes pass by: enveloped as in gRPC, or all of it one message. */
export class MessageCosts {
  /** Of messages that are whole, in their order. */
  private readonly whole: number[] = [];
  private readonly envelope = Buffer.alloc(ENVELOPE_BYTES);
  private envelopeBytes = 0;
  private missingBytes = 0;
  private partial = 0;

  constructor(private readonly isEnveloped: boolean) {}

  /** Whether a message has begun, and not all of it is there. */
  get isPartial(): boolean {
    return this.partial > 0;
  }

  /** What a piece of the body costs. */
  pass(chunk: Buffer): number {
    let cost = OBJECT_BYTES;
    this.partial += OBJECT_BYTES;
    for (let at = 0; at < chunk.byteLength;) {
      const end = this.isEnveloped ? this.follow(chunk, at) : chunk.byteLength;
      cost += end - at;
      this.partial += end - at;
      at = end;
      if (this.envelopeBytes < ENVELOPE_BYTES || this.missingBytes > 0) continue;
      cost += OBJECT_BYTES;
      this.whole.push(this.partial + OBJECT_BYTES);
      this.partial = 0;
      this.envelopeBytes = 0;
    }
    return cost;
  }

  /** The cost of the message that is next. */
  next(): number {
    return this.whole.shift() ?? 0;
  }

  /** Goes on in the envelope, or in the message; gives where it ends in the piece. */
  private follow(chunk: Buffer, at: number): number {
    if (this.envelopeBytes === ENVELOPE_BYTES) {
      const byteLength = Math.min(this.missingBytes, chunk.byteLength - at);
      this.missingBytes -= byteLength;
      return at + byteLength;
    }
    const copied = chunk.copy(this.envelope, this.envelopeBytes, at);
    this.envelopeBytes += copied;
    if (this.envelopeBytes === ENVELOPE_BYTES) this.missingBytes = this.envelope.readUInt32BE(1);
    return at + copied;
  }
}
