import { crc32 } from '../../rows/checksum.js';
import type { Change } from './index-entries.js';
import { checks, META_TOTALS } from './index-entries.js';

/** What a change adds to the totals. */
export interface TotalsPart {
  readonly results: number;
  readonly bytes: number;
  readonly changeNumber: bigint;
}

const CRC_BYTES = 4;

/**
 * What the newest results of a store are together. It is written with each change of them, in the same batch, so that a start needs
 * not count what is stored, not even after a kill.
 */
export class Totals {
  constructor(
    readonly resultCount: number,
    readonly sizeBytes: number,
    /** The greatest change that is counted: where the index knows of a greater one, they are an earlier version's, which did not keep them. */
    readonly newestChange: bigint,
  ) {}

  /** Reads what toChange has written; undefined where it is not there or does not check. */
  static from(value: Uint8Array | undefined): Totals | undefined {
    if (value === undefined || !checks(value)) return undefined;
    const [resultCount, sizeBytes, newestChange] = Buffer.from(value.subarray(CRC_BYTES)).toString().split(' ');
    return new Totals(Number(resultCount), Number(sizeBytes), BigInt(newestChange ?? 0));
  }

  /** The totals behind some changes. */
  after(parts: readonly TotalsPart[]): Totals {
    let { resultCount, sizeBytes, newestChange } = this;
    for (const { results, bytes, changeNumber } of parts) {
      resultCount += results;
      sizeBytes += bytes;
      if (changeNumber > newestChange) newestChange = changeNumber;
    }
    return new Totals(resultCount, sizeBytes, newestChange);
  }

  toChange(): Change {
    const text = Buffer.from(`${this.resultCount} ${this.sizeBytes} ${this.newestChange}`);
    const value = Buffer.alloc(CRC_BYTES + text.byteLength);
    value.writeUInt32LE(crc32(text), 0);
    text.copy(value, CRC_BYTES);
    return { type: 'put', key: META_TOTALS, value };
  }
}
