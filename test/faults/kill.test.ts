import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Channel } from '../../clients/typescript/channel.js';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { ReplicationMode } from '../../proto/gen/optistore/v1/result_pb.js';
import { VerifyState } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { PostgresServer } from '../backends/postgres.js';
import { all } from '../backends/runs.js';
import { dice } from '../rpc/wire.js';
import { campaign, IS_LONG } from './campaign.js';
import { damageCopies } from './damaged-copies.js';
import { migrates, repairs } from './kill-keepers.js';
import { BLOCK_ROWS, KillWorker, type Activity, type Workplace } from './kill-worker.js';
import { FILE_STORES, KilledDaemon, postgresStore } from './killed-daemon.js';
import { rowCountOf } from './sent-rows.js';

const WORKER_COUNT = 4;
const KILL_MS_MAX = 600;
const KILL_ANSWERS_MAX = 60;
/** Calls on files that a store's start makes at the least. */
const STORE_CALLS_MIN = 10;
const [leveldb, filesystem, sqlite] = FILE_STORES;
const REPLICATED = [ReplicationMode.ASYNC, ReplicationMode.SYNC];

let server: PostgresServer;
beforeAll(async () => {
  server = await PostgresServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const hire = (name: string) => Array.from({ length: WORKER_COUNT }, (_, i) => new KillWorker(`${name}${i}`));

/** Lets things go on in a daemon until it is killed, at any moment or behind any answer. */
async function untilItIsKilled(
  daemon: KilledDaemon,
  activities: readonly Activity[],
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
  try {
    await Promise.all(activities.map((act) => act({ ...place, roll: dice(Math.floor(roll() * 2 ** 32)) })));
  } finally {
    clearTimeout(timer);
    await kill();
  }
}

/**
 * Lets workers change their keys, undisturbed, until each key had so many revisions, and one of each worker's has files of its own.
 * A kill may come before anything was changed.
 */
async function untilEachKeyHad(
  revisions: number,
  { address }: KilledDaemon,
  workers: readonly KillWorker[],
  roll: () => number,
  modes: readonly ReplicationMode[],
): Promise<void> {
  await using client = createClient({ address });
  const working = workers.map(({ ledger, work }) => {
    const hasEnded = () =>
      ledger.keys.every(({ revision }) => revision >= revisions) &&
      ledger.keys.some(({ content }) => rowCountOf(content?.pieces ?? []) >= BLOCK_ROWS);
    return work({
      address,
      client,
      modes,
      hasEnded,
      onAnswer: () => undefined,
      roll: dice(Math.floor(roll() * 2 ** 32)),
    });
  });
  await Promise.all(working);
}

/** Someone who looks at a daemon, and what workers were told. */
interface Audit {
  readonly client: OptistoreClient;
  readonly channel: Channel;
  readonly workers: readonly KillWorker[];
}

/** Starts a daemon that was killed, which is killed in so many of its starts before, and holds its stores against what was answered. */
async function startAndCheck(
  daemon: KilledDaemon,
  workers: readonly KillWorker[],
  killedAt: readonly number[],
  more?: (audit: Audit) => Promise<number>,
): Promise<number> {
  for (const moment of killedAt) await daemon.startAndKill(moment);
  await daemon.start();
  return check(daemon, workers, more);
}

/** Holds the stores of a daemon against what was answered. Gives rows compared. */
async function check(
  daemon: KilledDaemon,
  workers: readonly KillWorker[],
  more: (audit: Audit) => Promise<number> = () => Promise.resolve(0),
): Promise<number> {
  await using client = createClient({ address: daemon.address });
  const channel = new Channel(daemon.address);
  try {
    let rows = 0;
    for (const { ledger } of workers) rows += await ledger.check(client, channel);
    return rows + (await more({ client, channel, workers }));
  } finally {
    channel.close();
  }
}

/** Repairs to the end, and verifies that nothing is left to repair. */
async function repairAll({ address }: KilledDaemon): Promise<void> {
  await using client = createClient({ address });
  for (const repair of [true, false]) {
    const sound = repair ? [VerifyState.OK, VerifyState.REPAIRED] : [VerifyState.OK];
    const copies = await all(client.verifyResults({ repair }));
    expect(copies.filter(({ state }) => !sound.includes(state))).toEqual([]);
  }
}

/** Up to so many moments of starts, from one on. */
const moments = (roll: () => number, countMax: number, first = 0) =>
  Array.from({ length: Math.floor(roll() * (countMax + 1)) }, () => first + roll() * (1.2 - first));

/** Waits until all is copied, and compares the secondary with what was answered. */
async function checkCopied({ client, channel, workers }: Audit): Promise<number> {
  while ((await client.getStatus()).replication?.pendingCount !== 0n) await sleep(20);
  let rows = 0;
  for (const { ledger } of workers) rows += await ledger.checkCopies(channel, 'SECONDARY');
  return rows;
}

describe('kill -9', () => {
  test.each([...FILE_STORES, postgresStore(() => server)])(
    'at any moment of saves, appends, changes and deletions loses nothing that $name has answered',
    async ({ name, settings }) => {
      await using daemon = await KilledDaemon.create(async (folder) => ({ primary: await settings(folder) }));
      const workers = hire('worker');
      await daemon.start();
      await campaign(`kill -9, ${name}`, { short: 2, long: 200 }, async (roll) => {
        await untilItIsKilled(
          daemon,
          workers.map(({ work }) => work),
          roll,
        );
        return startAndCheck(daemon, workers, roll() < 0.4 ? moments(roll, 3) : []);
      });
    },
  );

  test.each(FILE_STORES)(
    'while it starts, again and again, loses nothing that $name has answered',
    async ({ name, settings }) => {
      await using daemon = await KilledDaemon.create((folder) => ({ primary: settings(folder) }));
      const workers = hire('worker');
      await daemon.start();
      await campaign(`kill -9, ${name} starting`, { short: 1, long: 200 }, async (roll) => {
        await untilItIsKilled(
          daemon,
          workers.map(({ work }) => work),
          roll,
        );
        const calls = await daemon.startAndKillAt(0);
        expect(calls).toBeGreaterThan(STORE_CALLS_MIN);
        // Each goes on where the one before was killed.
        for (let kills = 0; kills < (IS_LONG ? 6 : 2); kills++)
          await daemon.startAndKillAt(1 + Math.floor(roll() * calls));
        return startAndCheck(daemon, workers, []);
      });
    },
  );

  test('while results are replicated loses none of them, and the secondary gets what it lacks', async () => {
    await using daemon = await KilledDaemon.create((folder) => ({
      primary: leveldb.settings(folder),
      secondary: sqlite.settings(folder),
      replication: 'async',
    }));
    const workers = hire('worker');
    await daemon.start();
    await campaign('kill -9, replicating', { short: 1, long: 200 }, async (roll, number) => {
      await untilEachKeyHad(2 * number + 2, daemon, workers, roll, REPLICATED);
      await untilItIsKilled(
        daemon,
        workers.map(({ work }) => work),
        roll,
        REPLICATED,
      );
      // Also while what waits is copied.
      return startAndCheck(daemon, workers, moments(roll, 2, 0.7), checkCopied);
    });
  });

  test.each([
    { name: 'leveldb and SQLite', first: leveldb, second: sqlite },
    { name: 'filesystem and leveldb', first: filesystem, second: leveldb },
  ])('while results go from store to store and back loses none of them: $name', async ({ name, first, second }) => {
    await using daemon = await KilledDaemon.create((folder) => ({
      primary: first.settings(join(folder, 'first')),
      secondary: second.settings(join(folder, 'second')),
    }));
    const workers = hire('worker');
    await daemon.start();
    await campaign(`kill -9, migrating, ${name}`, { short: 1, long: 200 }, async (roll) => {
      const activities = [...workers.map(({ work }) => work), migrates(workers), migrates(workers)];
      await untilItIsKilled(daemon, activities, roll, [ReplicationMode.NONE, ...REPLICATED]);
      return startAndCheck(daemon, workers, moments(roll, 1));
    });
  });

  test('while copies are repaired loses nothing, and in the end each store is whole by itself', async () => {
    await using daemon = await KilledDaemon.create((folder) => ({
      primary: leveldb.settings(join(folder, 'first')),
      secondary: filesystem.settings(join(folder, 'second')),
      replication: 'sync',
    }));
    const stores = { leveldb: join(daemon.folder, 'first', 'data'), filesystem: join(daemon.folder, 'second', 'data') };
    // One half works while the other's results are damaged and repaired.
    const [workers, owners] = [hire('worker'), hire('owner')];
    const damaged = { leveldb: 0, filesystem: 0 };
    await daemon.start();
    await campaign('kill -9, repairing', { short: 1, long: 200 }, async (roll, number) => {
      await untilEachKeyHad(number + 1, daemon, owners, roll, REPLICATED);
      const activities = [...workers, ...owners].map(({ work }) => work);
      await untilItIsKilled(daemon, activities, roll, REPLICATED);
      let rows = await startAndCheck(daemon, [...workers, ...owners], [], checkCopied);
      await daemon.kill();
      for (const { ledger } of owners) await damageCopies(stores, ledger, roll, damaged);
      for (let kills = 1 + Math.floor(roll() * 3); kills > 0; kills--) {
        // Of the damaged ones no load may ask meanwhile: it would repair them.
        rows += await startAndCheck(daemon, workers, []);
        await untilItIsKilled(daemon, [...workers.map(({ work }) => work), repairs], roll, REPLICATED);
      }
      await daemon.start();
      await repairAll(daemon);
      rows += await check(daemon, [...workers, ...owners], async (audit) => {
        const copied = await checkCopied(audit);
        for (const { ledger } of audit.workers) await ledger.checkCopies(audit.channel, 'PRIMARY');
        return copied;
      });
      return rows;
    });
    // In each store there was something to repair.
    expect(Math.min(damaged.leveldb, damaged.filesystem)).toBeGreaterThan(0);
  });
});
