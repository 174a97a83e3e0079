import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { openBackend } from '../../server/backends/open-backend.js';
import { campaign, IS_LONG } from './campaign.js';
import { checkAnswers, questioned, type Answer } from './shim/answers.js';
import { FaultyDaemon, STORES_IN_FILES } from './shim/faulty-daemon.js';
import { isChange, parseCalls, RecordedDisk, type Call } from './shim/recorded-disk.js';
import { leaveOpen, workload } from './shim/workload.js';

/** Places in a start where a short campaign cuts it off. */
const SHORT_CUTS_MAX = 40;

type Store = keyof typeof STORES_IN_FILES;

interface Recording {
  readonly disk: string;
  readonly calls: readonly Call[];
  readonly answers: readonly Answer[];
  /** How long the log was when the daemon was killed; behind that lies its next start. */
  readonly killedAt: number;
}

/** Runs a workload in a daemon, kills it and starts it again; gives what it did with its disk and when it answered what. */
async function record(store: Store, roll: () => number, keyCount = 3): Promise<Recording> {
  await using daemon = await FaultyDaemon.start((folder) => ({ primary: STORES_IN_FILES[store](folder) }));
  const answers = [...(await workload(daemon, roll, keyCount)), ...(await leaveOpen(daemon, keyCount + 1))];
  await daemon.process.stop('SIGKILL');
  const killedAt = daemon.logLength;
  await daemon.start();
  return { disk: daemon.disk, calls: parseCalls(await readFile(daemon.log)), answers, killedAt };
}

/** Fails unless a store has what was answered up to a place of the log, when it is opened on what the disk had there. */
async function checkImage(
  store: Store,
  { disk, calls, answers }: Recording,
  cut: number,
  target: string,
  leave: (recorded: RecordedDisk) => void,
): Promise<void> {
  const recorded = new RecordedDisk(disk);
  for (const call of calls) if (call.end <= cut) recorded.play(call);
  leave(recorded);
  try {
    await using backend = await openBackend(STORES_IN_FILES[store](target), {});
    await checkAnswers(questioned(backend), answers, cut);
  } finally {
    await rm(target, { recursive: true });
  }
}

describe.each(Object.keys(STORES_IN_FILES) as Store[])('a power cut under %s', (store) => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'optistore-power-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('loses no acked row, no commit and no deletion, whatever the disk keeps of what was not synced', async () => {
    await campaign(`lost unsynced writes, ${store}`, { short: 1, long: 60 }, async (roll) => {
      const recording = await record(store, roll);
      const { answers } = recording;
      const calls = recording.calls.filter(({ end }) => end <= recording.killedAt);
      const images = 12;
      for (let image = 0; image < images; image++) {
        // Most cuts lie right behind an answer: there, what it promised must be on the disk.
        const answer = answers[Math.floor(roll() * answers.length)];
        const cut = roll() < 0.6 && answer ? answer.logLength : (calls[Math.floor(roll() * calls.length)]?.end ?? 0);
        const target = join(folder, 'disk');
        await checkImage(store, recording, cut, target, (disk) => disk.cutPower(target, roll)).catch(
          (error: unknown) => {
            throw new Error(`image ${image}, cut at ${cut}`, { cause: error });
          },
        );
      }
      return images;
    });
  });

  test('or a kill in the middle of a start, behind whichever change that it makes, loses nothing either', async () => {
    await campaign(`starts that are cut off, ${store}`, { short: 1, long: 20 }, async (roll) => {
      const recording = await record(store, roll, 1);
      const changes = recording.calls.filter((call) => call.end > recording.killedAt && isChange(call));
      const step = IS_LONG ? 1 : Math.ceil(changes.length / SHORT_CUTS_MAX);
      const cuts = changes.filter((_, nth) => nth % step === 0).map(({ end }) => end);
      const target = join(folder, 'disk');
      for (const [nth, cut] of cuts.entries()) {
        for (const how of ['kill', 'cutPower'] as const)
          await checkImage(store, recording, cut, target, (disk) => disk[how](target, roll)).catch((error: unknown) => {
            throw new Error(`${how} behind change ${nth * step + 1} of a start`, { cause: error });
          });
      }
      return 2 * cuts.length;
    });
  });
});
