/** A stream whose first bytes can be looked at before it is read. */
export class PeekedInput implements AsyncIterable<Uint8Array> {
  private readonly chunks: AsyncIterator<Uint8Array>;
  private head = Buffer.alloc(0);

  constructor(input: AsyncIterable<Uint8Array>) {
    this.chunks = input[Symbol.asyncIterator]();
  }

  /** The first bytes, as many as are wanted or more; fewer where the stream has no more. They are read again. */
  async peek(byteLength: number): Promise<Buffer> {
    while (this.head.byteLength < byteLength) {
      const next = await this.chunks.next();
      if (next.done === true) break;
      this.head = Buffer.concat([this.head, next.value]);
    }
    return this.head;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    const { head } = this;
    this.head = Buffer.alloc(0);
    if (head.byteLength > 0) yield head;
    yield* { [Symbol.asyncIterator]: () => this.chunks };
  }
}
