import type { Upload } from '../../../proto/gen/optistore/v1/storage_service_pb.js';

/** How many rows there were at a time. */
interface Sample {
  readonly atMs: number;
  readonly rowCount: number;
}

const SAMPLES_MAX = 64;
/** Over how many samples a point of the line is taken: the daemon tells once a second, not to the beat of this clock. */
const SMOOTHED_OVER = 3;
/** Over how many samples the number is taken. */
const AVERAGED_OVER = 10;
/** Over less time what one message told is all, or nothing, of it. */
const MEASURED_MS_MIN = 3000;

/** How fast the rows of each save in progress come, seen from here, a sample a second. */
export class UploadRates {
  private readonly samples = new Map<string, Sample[]>();

  /** Takes a sample of each; those that are gone are forgotten. */
  sample(uploads: ReadonlyMap<string, Upload>, atMs: number): void {
    for (const uploadId of this.samples.keys()) if (!uploads.has(uploadId)) this.samples.delete(uploadId);
    for (const [uploadId, { durableRowCount }] of uploads) {
      const samples = this.samples.get(uploadId) ?? [];
      samples.push({ atMs, rowCount: Number(durableRowCount) });
      if (samples.length > SAMPLES_MAX) samples.shift();
      this.samples.set(uploadId, samples);
    }
  }

  /** Rows per second over the last ten seconds; undefined until it was looked at for long enough. */
  rateOf(uploadId: string): number | undefined {
    const samples = this.samples.get(uploadId) ?? [];
    const [first, last] = [samples.at(-1 - Math.min(AVERAGED_OVER, samples.length - 1)), samples.at(-1)];
    if (first === undefined || last === undefined || last.atMs - first.atMs < MEASURED_MS_MIN) return undefined;
    return rateBetween(first, last);
  }

  /** Rows per second over the last minute, the newest last. */
  lineOf(uploadId: string): number[] {
    const samples = this.samples.get(uploadId) ?? [];
    return samples.flatMap((sample, i) => rateBetween(samples[Math.max(0, i - SMOOTHED_OVER)], sample) ?? []);
  }
}

function rateBetween(before: Sample | undefined, after: Sample | undefined): number | undefined {
  if (before === undefined || after === undefined || after.atMs <= before.atMs) return undefined;
  return Math.max(0, ((after.rowCount - before.rowCount) * 1000) / (after.atMs - before.atMs));
}
