import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Channel } from '../../clients/typescript/channel.js';
import { createClient } from '../../clients/typescript/index.js';
import { all } from '../backends/runs.js';
import { campaign } from './campaign.js';
import { expectDiskFull, SavedRun } from './full-disk-saves.js';
import { FILE_STORES, KilledDaemon } from './killed-daemon.js';
import { mayMount, SmallDisk, testInNamespace } from './small-disk.js';

const DISK_MIB = 24;
const RUNS_MAX = 60;

/** A daemon whose primary fills a small disk. */
class FullDisk implements AsyncDisposable {
  readonly kept: SavedRun[] = [];
  readonly refused: SavedRun[] = [];

  private constructor(
    readonly disk: SmallDisk,
    readonly daemon: KilledDaemon,
    private readonly roll: () => number,
  ) {}

  static async start(store: (typeof FILE_STORES)[number], roll: () => number): Promise<FullDisk> {
    const disk = await SmallDisk.mount(DISK_MIB);
    const primary = store.settings(join(disk.folder, 'store'));
    const daemon = await KilledDaemon.create(() => ({ primary, use_cache: false }));
    await daemon.start();
    return new FullDisk(disk, daemon, roll);
  }

  /** Saves runs until the disk is full, one behind the other or two at once. */
  async fill(): Promise<void> {
    for (let i = 0; this.refused.length === 0; i++) {
      expect(i, 'the disk is full at some time').toBeLessThan(RUNS_MAX);
      const runs = Array.from(
        { length: this.roll() < 0.5 ? 1 : 2 },
        (_, j) => new SavedRun(`run${i}.${j}`, 6, this.roll),
      );
      await Promise.all(runs.map((run) => this.save(run)));
    }
  }

  private async save(run: SavedRun): Promise<void> {
    const error = await run.goOn(this.daemon.address);
    if (error !== undefined) expectDiskFull(error);
    (error === undefined ? this.kept : this.refused).push(run);
  }

  /** Fails unless all that was committed is listed and loads as it was sent; gives the rows. */
  async check(): Promise<number> {
    await using client = createClient({ address: this.daemon.address });
    const channel = new Channel(this.daemon.address);
    const listed = await all(client.listResults());
    expect(listed.map(({ key }) => key)).toEqual(this.kept.map(({ key }) => key).sort());
    let rows = 0;
    for (const run of this.kept) rows += await run.check(channel);
    channel.close();
    return rows;
  }

  /** Deletes the results that take the most. */
  async delete(count: number): Promise<void> {
    await using client = createClient({ address: this.daemon.address });
    this.kept.sort((a, b) => b.rowCount - a.rowCount);
    for (const { key } of this.kept.splice(0, count)) await client.deleteResult(key);
  }

  async restart(): Promise<void> {
    if (this.roll() < 0.5) await this.daemon.kill();
    else await this.daemon.stop();
    await this.daemon.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
    await this.disk[Symbol.asyncDispose]();
  }
}

describe('a full disk', async () => {
  if (await mayMount()) fullDiskPromises();
  // Who may not mount here may in a namespace of their own, where these tests are run.
  else
    test('is tried in a namespace where it can be mounted', () =>
      expect(testInNamespace('test/faults/disk-full.test.ts')).toContain('passed'));
});

function fullDiskPromises(): void {
  test.each(FILE_STORES)('refuses saves, and loads, lists and deletions go on: $name', async (store) => {
    await campaign(`disk full, ${store.name}`, { short: 1, long: 20 }, async (roll) => {
      await using full = await FullDisk.start(store, roll);
      await full.fill();
      let rows = await full.check();

      // Another program takes what was kept free as well.
      full.disk.fill();
      await full.restart();
      rows += await full.check();
      for (const run of full.refused) expectDiskFull(await run.goOn(full.daemon.address));
      await full.delete(2);

      // What was deleted is free at once, and saves go on where they stopped.
      full.disk.empty();
      for (const run of full.refused.splice(0)) {
        let error = await run.goOn(full.daemon.address);
        for (; error !== undefined && full.kept.length > 0; error = await run.goOn(full.daemon.address)) {
          expectDiskFull(error);
          await full.delete(1);
        }
        expect(error).toBeUndefined();
        full.kept.push(run);
      }
      await full.restart();
      return rows + (await full.check());
    });
  });
}
