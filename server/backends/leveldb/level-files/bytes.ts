/** Reads LevelDB's numbers and strings one after the other; what is not there is a RangeError. */
export class ByteReader {
  constructor(
    readonly bytes: Buffer,
    public at = 0,
  ) {}

  get isAtEnd(): boolean {
    return this.at >= this.bytes.byteLength;
  }

  byte(): number {
    const byte = this.bytes[this.at++];
    if (byte === undefined) throw new RangeError('beyond the end');
    return byte;
  }

  /** A number of seven bits a byte, least significant first. */
  varint(): number {
    let number = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.byte();
      number += (byte & 127) * factor;
      if (byte < 128) break;
      if (factor > 2 ** 56) throw new RangeError('a number without an end');
    }
    return number;
  }

  take(length: number): Buffer {
    if (this.at + length > this.bytes.byteLength) throw new RangeError('beyond the end');
    return this.bytes.subarray(this.at, (this.at += length));
  }

  /** Bytes behind their length. */
  string(): Buffer {
    return this.take(this.varint());
  }
}

/** A number as ByteReader.varint reads it. */
export function varintBytes(number: number): Buffer {
  const bytes: number[] = [];
  let rest = number;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}
