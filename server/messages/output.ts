import { DECLINED } from './declined.js';

const TWO_32 = 4_294_967_296;
const INT64_MIN = -(2n ** 63n);
const UINT64_END = 2n ** 64n;
const TWO_53 = 2n ** 53n;
/** Up to here a text is written character by character: a call into native code costs more. */
const SHORT_TEXT = 24;

/** Memory that a message is written into, from left to right; used again for the next one. */
export class Output {
  private memory = Buffer.allocUnsafeSlow(64 * 1024);
  private at = 0;

  get byteLength(): number {
    return this.at;
  }

  clear(): void {
    this.at = 0;
    // One of a result with thousands of columns need not stay.
    if (this.memory.byteLength > 1024 * 1024) this.memory = Buffer.allocUnsafeSlow(64 * 1024);
  }

  /** A copy of what was written, with room for so many bytes ahead of it. */
  copy(ahead = 0): Buffer {
    const bytes = Buffer.allocUnsafe(ahead + this.at);
    this.memory.copy(bytes, ahead, 0, this.at);
    return bytes;
  }

  private reserve(byteLength: number): void {
    const end = this.at + byteLength;
    if (end <= this.memory.byteLength) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(end, this.memory.byteLength * 2));
    this.memory.copy(larger, 0, 0, this.at);
    this.memory = larger;
  }

  /** A number from 0 to 2^53. */
  varint(value: number): void {
    this.reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.memory[this.at++] = (rest % 128) | 0x80;
      rest = rest < TWO_32 ? rest >>> 7 : Math.floor(rest / 128);
    }
    this.memory[this.at++] = rest;
  }

  int32(value: unknown): void {
    if (typeof value !== 'number' || (value | 0) !== value) throw DECLINED;
    if (value >= 0) this.varint(value);
    else this.varint64(BigInt(value));
  }

  uint32(value: unknown): void {
    if (typeof value !== 'number' || value >>> 0 !== value) throw DECLINED;
    this.varint(value);
  }

  /** A signed or unsigned number of 64 bits. */
  varint64(value: unknown): void {
    if (typeof value !== 'bigint' || value < INT64_MIN || value >= UINT64_END) throw DECLINED;
    if (value >= 0n && value < TWO_53) return this.varint(Number(value));
    this.reserve(10);
    let rest = BigInt.asUintN(64, value);
    for (; rest >= 0x80n; rest >>= 7n) this.memory[this.at++] = Number(rest & 0x7fn) | 0x80;
    this.memory[this.at++] = Number(rest);
  }

  bool(value: unknown): void {
    if (typeof value !== 'boolean') throw DECLINED;
    this.varint(value ? 1 : 0);
  }

  fixed32(value: unknown): void {
    if (typeof value !== 'number' || value >>> 0 !== value) throw DECLINED;
    this.reserve(4);
    this.at = this.memory.writeUInt32LE(value, this.at);
  }

  double(value: unknown): void {
    if (typeof value !== 'number') throw DECLINED;
    this.reserve(8);
    this.at = this.memory.writeDoubleLE(value, this.at);
  }

  bytes(value: unknown): void {
    if (!(value instanceof Uint8Array)) throw DECLINED;
    this.varint(value.byteLength);
    this.raw(value);
  }

  raw(value: Uint8Array): void {
    this.reserve(value.byteLength);
    this.memory.set(value, this.at);
    this.at += value.byteLength;
  }

  text(value: unknown): void {
    if (typeof value !== 'string') throw DECLINED;
    if (value.length <= SHORT_TEXT && this.asciiText(value)) return;
    const byteLength = Buffer.byteLength(value, 'utf8');
    this.varint(byteLength);
    this.reserve(byteLength);
    this.at += this.memory.write(value, this.at, byteLength, 'utf8');
  }

  private asciiText(value: string): boolean {
    this.reserve(1 + SHORT_TEXT);
    const { memory, at } = this;
    memory[at] = value.length;
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code >= 0x80) return false;
      memory[at + 1 + i] = code;
    }
    this.at += 1 + value.length;
    return true;
  }

  /** Begins something with its length ahead, which is known only when it is written: gives what `end` needs. */
  begin(): number {
    this.reserve(1);
    return this.at++;
  }

  /** Ends what was begun last. */
  end(start: number): void {
    const byteLength = this.at - start - 1;
    if (byteLength < 0x80) {
      this.memory[start] = byteLength;
      return;
    }
    // One byte was too few.
    let more = 0;
    for (let rest = byteLength; rest >= 0x80; rest = Math.floor(rest / 128)) more++;
    this.reserve(more);
    this.memory.copyWithin(start + 1 + more, start + 1, this.at);
    const end = this.at + more;
    this.at = start;
    this.varint(byteLength);
    this.at = end;
  }
}
