import { DECLINED } from './declined.js';

const TWO_32 = 4_294_967_296;

/** Up to here a text is read character by character: a call into native code costs more. */
const SHORT_TEXT = 12;

/** Reads a message from left to right. */
export class Input {
  at = 0;
  private readonly view: DataView;
  private readonly buffer: Buffer;

  constructor(
    private readonly bytes: Uint8Array,
    /** Where the message that is being read ends. */
    public end = bytes.byteLength,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** A number below 2^53. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      if (this.at >= this.end) throw DECLINED;
      const byte = this.bytes[this.at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw DECLINED;
        return value;
      }
      scale *= 128;
    }
    throw DECLINED;
  }

  /** A number that is 32 bits wide when it is not negative. */
  int32(): number {
    const byte = this.bytes[this.at] as number;
    if (this.at < this.end && byte < 0x80) {
      this.at++;
      return byte;
    }
    return Number(BigInt.asIntN(32, this.varint64()));
  }

  uint32(): number {
    const value = this.varint();
    if (value >= TWO_32) throw DECLINED;
    return value;
  }

  /** 64 bits, without a sign. */
  varint64(): bigint {
    const start = this.at;
    let i = start;
    while (i < this.end && (this.bytes[i] as number) >= 0x80) i++;
    if (i - start < 7) return BigInt(this.varint());
    if (i >= this.end || i - start > 9) throw DECLINED;
    let value = 0n;
    for (let at = i; at >= start; at--) value = (value << 7n) | BigInt((this.bytes[at] as number) & 0x7f);
    this.at = i + 1;
    return BigInt.asUintN(64, value);
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.varint64());
  }

  bool(): boolean {
    return this.varint() !== 0;
  }

  fixed32(): number {
    return this.view.getUint32(this.step(4), true);
  }

  double(): number {
    return this.view.getFloat64(this.step(8), true);
  }

  private step(byteLength: number): number {
    const { at } = this;
    if (at + byteLength > this.end) throw DECLINED;
    this.at += byteLength;
    return at;
  }

  /** A view. */
  view8(): Uint8Array {
    const byteLength = this.varint();
    const at = this.step(byteLength);
    return this.bytes.subarray(at, at + byteLength);
  }

  text(): string {
    const byteLength = this.varint();
    const at = this.step(byteLength);
    return (byteLength <= SHORT_TEXT ? this.asciiText(at) : undefined) ?? this.anyText(at, byteLength);
  }

  private asciiText(start: number): string | undefined {
    let text = '';
    for (let i = start; i < this.at; i++) {
      const code = this.bytes[i] as number;
      if (code >= 0x80) return undefined;
      text += String.fromCharCode(code);
    }
    return text;
  }

  private anyText(at: number, byteLength: number): string {
    const text = this.buffer.toString('utf8', at, at + byteLength);
    // It may be that character, or stand for bytes that are none.
    if (text.includes('\ufffd')) throw DECLINED;
    return text;
  }

  /** Begins something that has its length ahead: gives what `leave` needs. */
  enter(): number {
    const byteLength = this.varint();
    const outer = this.end;
    if (this.at + byteLength > outer) throw DECLINED;
    this.end = this.at + byteLength;
    return outer;
  }

  leave(outer: number): void {
    this.end = outer;
  }
}
