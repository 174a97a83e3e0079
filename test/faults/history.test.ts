import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { createClient, type StoreRole } from '../../clients/typescript/index.js';
import { PostgresServer } from '../backends/postgres.js';
import { dice } from '../rpc/wire.js';
import { campaign, IS_LONG } from './campaign.js';
import { HistoryClient, PROBLEM, type Scene } from './history-clients.js';
import { Recorder } from './history-recorder.js';
import { FollowedSaves, lastKey, Watcher } from './history-streams.js';
import { FILE_STORES, KilledDaemon, postgresStore } from './killed-daemon.js';

const KILLS = IS_LONG ? 6 : 1;
const ALIVE_MS = 1500;

let server: PostgresServer;
beforeAll(async () => {
  server = await PostgresServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

/** A daemon that clients find again at its address. */
class Served {
  private up: Promise<void> = Promise.resolve();

  constructor(readonly daemon: KilledDaemon) {}

  readonly serves = (): Promise<void> => this.up;

  /** `isDead` is called when nothing of the daemon before can happen any more, and nobody has asked the next one. */
  async killAndStart(isDead: () => void): Promise<void> {
    const { daemon } = this;
    let isUp: () => void = () => undefined;
    this.up = new Promise((resolve) => (isUp = resolve));
    await daemon.kill();
    await daemon.start(daemon.address);
    isDead();
    isUp();
  }
}

/** Everybody who works with one daemon. */
function cast(scene: Scene, roll: () => number, name: string) {
  const own = () => dice(Math.floor(roll() * 2 ** 32));
  const clients = [0.7, 0.7, 0.7, 0.1, 0.1].map(
    (changes, i) => new HistoryClient(`${name}/${i}`, scene, own(), changes),
  );
  const followed = new FollowedSaves(scene, own());
  const watcher = new Watcher(`${name}/watcher`, scene);
  const looker = new HistoryClient(`${name}/looker`, scene, own(), 0);
  const working = [...clients.map((client) => client.work()), followed.work(), looker.look(scene.keys[0] ?? '')];
  return { working, listening: watcher.listen() };
}

/** Lets clients work on a few new keys while daemons are killed; gives the number of calls whose answers were checked. */
async function playAndCheck(
  stores: readonly Served[],
  lagging: StoreRole | undefined,
  roll: () => number,
  round: number,
): Promise<number> {
  const recorder = new Recorder();
  const prefix = `round${round}/`;
  const keys = ['a', 'b', 'c'].map((name) => prefix + name);
  let hasEnded = false;
  const scene = { recorder, prefix, keys, lagging, hasEnded: () => hasEnded };
  const casts = stores.map(({ daemon, serves }, i) =>
    cast({ ...scene, serves, address: daemon.address }, roll, `daemon${i}`),
  );
  const working = Promise.all(casts.flatMap((one) => one.working));
  const killing = (async () => {
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(ALIVE_MS * (0.3 + roll()));
      const i = Math.floor(roll() * stores.length);
      await stores[i]?.killAndStart(() => recorder.settle((client) => client.startsWith(`daemon${i}/`)));
    }
    await sleep(ALIVE_MS / 2);
  })();
  await Promise.race([working, killing]).finally(() => killing);
  hasEnded = true;
  await working;
  const newest = await readNewest(stores, recorder, keys, lagging);
  await using client = createClient({ address: stores[0]?.daemon.address ?? '' });
  await (await client.save(lastKey(prefix), PROBLEM)).commit();
  await Promise.all(casts.map(({ listening }) => listening));
  return recorder.check(newest);
}

/** All that is read now is the newest. Gives the revisions of the keys that there are. */
async function readNewest(
  stores: readonly Served[],
  recorder: Recorder,
  keys: readonly string[],
  lagging: StoreRole | undefined,
): Promise<Map<string, number>> {
  const newest = new Map<string, number>();
  for (const { daemon, serves } of stores) {
    const scene = { recorder, prefix: '', keys, lagging, address: daemon.address, hasEnded: () => true, serves };
    const reader = new HistoryClient('last', scene, () => 0, 0);
    await using client = createClient({ address: daemon.address });
    while (lagging !== undefined && (await client.getStatus()).replication?.pendingCount !== 0n) await sleep(20);
    for (const key of keys) {
      await reader.get(key);
      await reader.load(key);
      if (lagging !== undefined) await reader.load(key, lagging);
      const result = await client.getResult(key).catch(() => undefined);
      if (result !== undefined) newest.set(key, Number(result.revision));
    }
    await reader.list();
    await reader.work();
  }
  return newest;
}

const [leveldb, filesystem, sqlite] = FILE_STORES;

describe('what clients see of a few keys fits an order of their calls, over kills of the daemon', () => {
  test.each([
    { store: leveldb, name: 'leveldb', daemonCount: 1 },
    { store: filesystem, name: 'filesystem, two daemons', daemonCount: 2 },
    { store: leveldb, secondary: sqlite, name: 'leveldb and SQLite', daemonCount: 1 },
    { store: postgresStore(() => server), name: 'PostgreSQL, two daemons', daemonCount: 2 },
  ])('$name', async ({ store, secondary, name, daemonCount }) => {
    const stores: Served[] = [];
    try {
      let primary: JsonObject | undefined;
      for (let i = 0; i < daemonCount; i++) {
        const daemon = await KilledDaemon.create(async (folder) => {
          primary ??= await Promise.resolve(store.settings(folder));
          const second = secondary?.settings(folder);
          return { primary, ...(second && { secondary: second, replication: 'async' }) };
        });
        stores.push(new Served(daemon));
        await daemon.start();
      }
      await campaign(`history, ${name}`, { short: 1, long: 25 }, (roll, round) =>
        playAndCheck(stores, secondary && 'secondary', roll, round),
      );
    } finally {
      for (const { daemon } of stores) await daemon[Symbol.asyncDispose]();
    }
  });
});
