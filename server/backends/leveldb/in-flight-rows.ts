/** Rows are counted in runs of about this many bytes, not one by one. */
const RUN_BYTES = 64 * 1024;

/** The bytes of rows that were received and are not yet written. */
export class InFlightRows {
  private readonly runs: { endRow: number; bytes: number }[] = [];
  byteLength = 0;

  /** Rows up to `endRow`, exclusive, were received. */
  received(endRow: number, bytes: number): void {
    this.byteLength += bytes;
    const last = this.runs.at(-1);
    if (last === undefined || last.bytes >= RUN_BYTES) this.runs.push({ endRow, bytes });
    else {
      last.endRow = endRow;
      last.bytes += bytes;
    }
  }

  /** Rows up to `endRow`, exclusive, were written; gives the bytes that are free now. */
  written(endRow: number): number {
    let freed = 0;
    while (this.runs[0] !== undefined && this.runs[0].endRow <= endRow) freed += this.runs.shift()?.bytes ?? 0;
    this.byteLength -= freed;
    return freed;
  }
}
