import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { Channel } from '../../clients/typescript/channel.js';
import { createClient } from '../../clients/typescript/index.js';
import { ReplicationMode } from '../../proto/gen/optistore/v1/result_pb.js';
import { PostgresServer } from '../backends/postgres.js';
import { dice } from '../rpc/wire.js';
import { campaign } from './campaign.js';
import { KillWorker, type Workplace } from './kill-worker.js';
import { FILE_STORES, KilledDaemon, postgresStore } from './killed-daemon.js';

const WORKER_COUNT = 4;
const KILL_MS_MAX = 600;
const KILL_ANSWERS_MAX = 60;

let server: PostgresServer;
beforeAll(async () => {
  server = await PostgresServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

/** Lets workers work on a daemon until it is killed, at any moment or behind any answer. */
export async function workUntilKilled(
  daemon: KilledDaemon,
  workers: readonly KillWorker[],
  roll: () => number,
  modes: readonly ReplicationMode[] = [],
): Promise<void> {
  await using client = createClient({ address: daemon.address });
  await client.getStatus();
  let killing: Promise<void> | undefined;
  const kill = () => (killing ??= daemon.kill());
  const timer = setTimeout(() => void kill(), roll() < 0.5 ? 30_000 : roll() * KILL_MS_MAX);
  let answersLeft = 1 + Math.floor(roll() * KILL_ANSWERS_MAX);
  const place: Omit<Workplace, 'roll'> = {
    ...{ address: daemon.address, client, modes },
    onAnswer: () => void (--answersLeft === 0 && kill()),
    hasEnded: () => killing !== undefined,
  };
  const working = workers.map((worker) => worker.work({ ...place, roll: dice(Math.floor(roll() * 2 ** 32)) }));
  try {
    await Promise.all(working);
  } finally {
    clearTimeout(timer);
    await kill();
  }
}

describe('kill -9', () => {
  test.each([...FILE_STORES, postgresStore(() => server)])(
    'at any moment of saves, appends, changes and deletions loses nothing that $name has answered',
    async ({ name, settings }) => {
      await using daemon = await KilledDaemon.create(async (folder) => ({ primary: await settings(folder) }));
      const workers = Array.from({ length: WORKER_COUNT }, (_, i) => new KillWorker(`worker${i}`));
      await daemon.start();
      await campaign(`kill -9, ${name}`, { short: 3, long: 200 }, async (roll) => {
        await workUntilKilled(daemon, workers, roll);
        for (let kills = roll() < 0.4 ? 1 + Math.floor(roll() * 3) : 0; kills > 0; kills--)
          await daemon.startAndKill(roll() * 1.2);
        await daemon.start();
        await using client = createClient({ address: daemon.address });
        const channel = new Channel(daemon.address);
        let rows = 0;
        for (const { ledger } of workers) rows += await ledger.check(client, channel);
        channel.close();
        return rows;
      });
    },
  );

  test('while results are replicated loses none of them, and the secondary gets what it lacks', async () => {
    await using daemon = await KilledDaemon.create((folder) => ({
      primary: FILE_STORES[0].settings(folder),
      secondary: FILE_STORES[2].settings(folder),
      replication: 'async',
    }));
    const workers = Array.from({ length: WORKER_COUNT }, (_, i) => new KillWorker(`worker${i}`));
    await daemon.start();
    await campaign('kill -9, replicating', { short: 2, long: 200 }, async (roll) => {
      await workUntilKilled(daemon, workers, roll, [ReplicationMode.ASYNC, ReplicationMode.SYNC]);
      // Also while what waits is copied.
      for (let kills = Math.floor(roll() * 3); kills > 0; kills--) await daemon.startAndKill(0.7 + roll());
      await daemon.start();
      await using client = createClient({ address: daemon.address });
      const channel = new Channel(daemon.address);
      let rows = 0;
      for (const { ledger } of workers) rows += await ledger.check(client, channel);
      for (let pending = 1n; pending > 0n;) {
        pending = (await client.getStatus()).replication?.pendingCount ?? 0n;
        if (pending > 0n) await sleep(20);
      }
      for (const { ledger } of workers) rows += await ledger.checkCopies(channel);
      channel.close();
      return rows;
    });
  });
});
