import type { LoadedColumn } from '../../typescript/index.js';

/**
 * Doubles of which some are missing (null), as hyparquet-writer takes them: an array whose parts and whose values without the missing
 * ones are made of the doubles' own bits. In an array of V8's a NaN would lose its sign and payload.
 */
export class SparseDoubles extends Array<number | null> {
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }

  private constructor(
    private readonly doubles: Float64Array,
    private readonly isThere: Uint8Array,
  ) {
    super(doubles.length);
    for (let i = 0; i < doubles.length; i++) this[i] = isThere[i] === 1 ? (doubles[i] ?? null) : null;
  }

  /** The parts of a column, one after the other. */
  static of64(parts: readonly LoadedColumn[]): SparseDoubles {
    const length = parts.reduce((sum, { values }) => sum + values.length, 0);
    const doubles = new Float64Array(length);
    const isThere = new Uint8Array(length).fill(1);
    let at = 0;
    for (const { values, validity } of parts) {
      doubles.set(values as Float64Array, at);
      for (let i = 0; validity !== undefined && i < values.length; i++)
        isThere[at + i] = ((validity[i >>> 3] ?? 0) >>> (i & 7)) & 1;
      at += values.length;
    }
    return new SparseDoubles(doubles, isThere);
  }

  override slice(start?: number, end?: number): SparseDoubles {
    return new SparseDoubles(this.doubles.slice(start, end), this.isThere.slice(start, end));
  }

  /** What hyparquet-writer filters for is what is there; it writes that as it is. */
  override filter(): (number | null)[] {
    return this.doubles.filter((_, i) => this.isThere[i] === 1) as unknown as (number | null)[];
  }
}
