import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { openBackend } from '../../server/backends/open-backend.js';
import { campaign } from './campaign.js';
import { checkAnswers, questioned, type Answer } from './shim/answers.js';
import { FaultyDaemon, STORES_IN_FILES } from './shim/faulty-daemon.js';
import { parseCalls, RecordedDisk, type Call } from './shim/recorded-disk.js';
import { workload } from './shim/workload.js';

interface Recording {
  readonly disk: string;
  readonly calls: readonly Call[];
  readonly answers: readonly Answer[];
}

/** Runs a workload in a daemon, and gives what it did with its disk and when it answered what. */
async function record(store: keyof typeof STORES_IN_FILES, roll: () => number): Promise<Recording> {
  await using daemon = await FaultyDaemon.start((folder) => ({ primary: STORES_IN_FILES[store](folder) }));
  const answers = await workload(daemon, roll);
  return { disk: daemon.disk, calls: parseCalls(await readFile(daemon.log)), answers };
}

describe.each(Object.keys(STORES_IN_FILES) as (keyof typeof STORES_IN_FILES)[])('a power cut under %s', (store) => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'optistore-power-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('loses no acked row, no commit and no deletion, whatever the disk keeps of what was not synced', async () => {
    await campaign(`lost unsynced writes, ${store}`, { short: 2, long: 60 }, async (roll) => {
      const { disk, calls, answers } = await record(store, roll);
      const images = 12;
      for (let image = 0; image < images; image++) {
        // Most cuts lie right behind an answer: there, what it promised must be on the disk.
        const answer = answers[Math.floor(roll() * answers.length)];
        const cut = roll() < 0.6 && answer ? answer.logLength : (calls[Math.floor(roll() * calls.length)]?.end ?? 0);
        const recorded = new RecordedDisk(disk);
        for (const call of calls) if (call.end <= cut) recorded.play(call);
        const target = join(folder, 'disk');
        recorded.cutPower(target, roll);
        try {
          await using backend = await openBackend(STORES_IN_FILES[store](target), {});
          await checkAnswers(questioned(backend), answers, cut);
        } catch (error) {
          throw new Error(`image ${image}, cut at ${cut}`, { cause: error });
        } finally {
          await rm(target, { recursive: true });
        }
      }
      return images;
    });
  });
});
