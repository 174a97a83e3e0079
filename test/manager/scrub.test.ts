import { describe, expect, test } from 'vitest';
import type { CheckedCopy } from '../../server/manager/verification/checked-copy.js';
import { machineClock, RatePace, type Clock } from '../../server/manager/verification/pace.js';
import { Scrub } from '../../server/manager/verification/scrub.js';
import { lineRows, RUNNING, save } from '../backends/runs.js';
import { until } from '../cli/cli.js';
import { MANY, TwoStores, unreachable } from './two-stores.js';

const HOUR_MS = 3_600_000;
const WEEK_MS = 7 * 24 * HOUR_MS;
const FAST = 1e12;

/** Time that goes on by sleeping only; from some sleep on nobody wakes, but for an abort. */
class TestClock implements Clock {
  readonly sleepsMs: number[] = [];
  private atMs = 0;

  constructor(private readonly wakes: (ms: number, count: number) => boolean) {}

  nowMs(): number {
    return this.atMs;
  }

  /** What a reader that takes its time does. */
  pass(ms: number): void {
    this.atMs += ms;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.sleepsMs.push(ms);
    if (!this.wakes(ms, this.sleepsMs.length)) await machineClock.sleep(2 ** 31 - 1, signal);
    this.atMs += ms;
  }
}

/** Rows that are stored in ten blocks. */
const tenBatches = () => Array.from({ length: 10 }, (_, i) => lineRows(i * MANY, MANY));

/** A clock that lets so many passes run. */
const forPasses = (count: number) => new TestClock((_, sleepCount) => sleepCount <= count);

describe('the pace', () => {
  test.each([
    ['reading takes no time', 0],
    ['reading takes half of the time', 25],
    ['reading is slower than the rate', 80],
  ])('holds the rate where %s', async (_, readingMs) => {
    const clock = new TestClock(() => true);
    const pace = new RatePace(20_000_000, clock);
    for (let i = 0; i < 200; i++) {
      clock.pass(readingMs);
      await pace.took(1_000_000, RUNNING);
    }
    const allowedMs = 200 * 50;
    expect(clock.nowMs()).toBeGreaterThanOrEqual(allowedMs - 100);
    expect(clock.nowMs()).toBeLessThanOrEqual(Math.max(allowedMs, 200 * readingMs) + 100);
  });

  test('does not make up for a pause by a burst', async () => {
    const clock = new TestClock(() => true);
    const pace = new RatePace(1_000_000, clock);
    await pace.took(1_000_000, RUNNING);
    clock.pass(HOUR_MS);
    const startMs = clock.nowMs();
    for (let i = 0; i < 10; i++) await pace.took(1_000_000, RUNNING);
    expect(clock.nowMs() - startMs).toBeGreaterThanOrEqual(9000);
  });
});

describe('the scrub', () => {
  test('finds what is corrupt or missing by itself, heals it, counts it and tells of it', async () => {
    await using two = await TwoStores.make();
    for (const key of ['a', 'b', 'c']) await two.saveToBoth(key);
    await two.flipInPrimary('b');
    await two.flipInSecondary('c');
    const faults: CheckedCopy[] = [];
    const clock = forPasses(2);
    const onFault = (fault: CheckedCopy) => void faults.push(fault);
    await using scrub = new Scrub(two.stores, { intervalMs: WEEK_MS, bytesPerSecond: FAST, onFault, clock });
    expect(scrub.counts()).toMatchObject({ lastPass: undefined, checkedCount: 0 });
    const counts = await until(
      () => scrub.counts(),
      ({ checkedCount, lastPass }) => checkedCount === 12 && lastPass !== undefined,
    );
    expect(counts).toMatchObject({ faultCount: 2, repairedCount: 2, failure: undefined });
    expect(faults.map(({ key, role, state }) => `${key} ${role} ${state}`)).toEqual([
      ...['b primary repaired', 'c secondary repaired'],
    ]);
    await two.expectAlone('primary', 'b');
    await two.expectAlone('secondary', 'c');
  });

  test('comes an hour after the start, then after the interval; sooner where the interval is shorter', async () => {
    await using two = await TwoStores.make();
    for (const [intervalMs, sleepsMs] of [
      [WEEK_MS, [HOUR_MS, WEEK_MS]],
      [1000, [1000, 1000]],
      // More than a timer holds.
      [30 * 24 * HOUR_MS, [HOUR_MS, 24 * 24 * HOUR_MS]],
    ] as const) {
      const clock = forPasses(1);
      await using scrub = new Scrub(two.stores, { intervalMs, bytesPerSecond: FAST, clock });
      await until(
        () => clock.sleepsMs,
        ({ length }) => length === 2,
      );
      expect(clock.sleepsMs).toEqual(sleepsMs);
      expect(scrub.counts().lastPass).toBeDefined();
    }
  });

  test('reads no faster than it may, also within one result', async () => {
    await using two = await TwoStores.make();
    await save(two.primary, 'k', tenBatches());
    const clock = new TestClock((ms, count) => count === 1 || ms < HOUR_MS);
    await using scrub = new Scrub(two.stores, { intervalMs: HOUR_MS, bytesPerSecond: 1_000_000, clock });
    await until(
      () => scrub.counts(),
      ({ lastPass }) => lastPass !== undefined,
    );
    const pausesMs = clock.sleepsMs.filter((ms) => ms < HOUR_MS);
    expect(pausesMs.length).toBeGreaterThan(3);
    // 8 MB at 1 MB/s.
    expect(pausesMs.reduce((sum, ms) => sum + ms, 0)).toBeCloseTo(8000, -2);
  });

  test('stops at once when it is closed, in the middle of a result', async () => {
    await using two = await TwoStores.make();
    await save(two.primary, 'k', tenBatches());
    // It begins, and never wakes behind the first rows.
    const clock = forPasses(1);
    const scrub = new Scrub(two.stores, { intervalMs: HOUR_MS, bytesPerSecond: 1, clock });
    await until(
      () => clock.sleepsMs,
      ({ length }) => length === 2,
    );
    await scrub[Symbol.asyncDispose]();
    expect(scrub.counts()).toMatchObject({ lastPass: undefined, checkedCount: 0, failure: undefined });
    expect(clock.sleepsMs).toHaveLength(2);
  });

  test('begins again an hour after a pass failed, and goes on as if it had not', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k', 3);
    let isDown = true;
    const secondary = unreachable(two.secondary, () => isDown);
    // The first sleep of an hour is that before the first pass, the second that behind its failure.
    const clock = new TestClock((_, count) => {
      isDown = count === 1;
      return count <= 2;
    });
    await using scrub = new Scrub({ ...two.stores, secondary }, { intervalMs: WEEK_MS, bytesPerSecond: FAST, clock });
    await until(
      () => scrub.counts(),
      ({ lastPass }) => lastPass !== undefined,
    );
    expect(scrub.counts()).toMatchObject({ failure: undefined, checkedCount: 2, faultCount: 0 });
    expect(clock.sleepsMs.slice(0, 2)).toEqual([HOUR_MS, HOUR_MS]);
  });

  test('says why a pass failed', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k', 3);
    const secondary = unreachable(two.secondary);
    const clock = forPasses(1);
    await using scrub = new Scrub({ ...two.stores, secondary }, { intervalMs: WEEK_MS, bytesPerSecond: FAST, clock });
    await until(
      () => scrub.counts(),
      ({ failure }) => failure !== undefined,
    );
    expect(scrub.counts()).toMatchObject({ lastPass: undefined, failure: 'down' });
  });
});
