import type { GetStatusResponse } from '../../../proto/gen/optistore/v1/storage_service_pb.js';

/** Two minutes of what is asked for every two seconds. */
const SAMPLES_MAX = 60;
/** A hit rate is taken over so many samples: over one there may be no load at all. */
const AVERAGED_OVER = 5;

/** How some figures went while the page looked at them. */
export class StatusHistory {
  private samples: GetStatusResponse[] = [];

  /** Takes what was told anew. */
  take(told: GetStatusResponse): void {
    const before = this.samples.at(-1);
    if (before === told) return;
    // A daemon that was started anew counts from 0.
    const isOther = before?.startTime?.seconds !== told.startTime?.seconds;
    this.samples = isOther ? [told] : [...this.samples, told].slice(-SAMPLES_MAX);
  }

  /** Part of the loads that the cache answered, the newest last; where nothing was loaded, as before. */
  hitRates(): number[] {
    const rates: number[] = [];
    this.samples.forEach(({ cache }, i) => {
      const before = this.samples[Math.max(0, i - AVERAGED_OVER)]?.cache;
      const hits = Number((cache?.hitCount ?? 0n) - (before?.hitCount ?? 0n));
      const loads = hits + Number((cache?.missCount ?? 0n) - (before?.missCount ?? 0n));
      const rate = loads > 0 ? hits / loads : (rates.at(-1) ?? hitRateOf(cache));
      if (rate !== undefined) rates.push(rate);
    });
    return rates;
  }

  /** Copies that waited, the newest last. */
  pendingCounts(): number[] {
    return this.samples.map(({ replication }) => Number(replication?.pendingCount ?? 0n));
  }
}

/** Part of all loads that the cache answered; undefined before the first. */
export function hitRateOf(cache: GetStatusResponse['cache']): number | undefined {
  const hits = Number(cache?.hitCount ?? 0n);
  const loads = hits + Number(cache?.missCount ?? 0n);
  return loads === 0 ? undefined : hits / loads;
}
