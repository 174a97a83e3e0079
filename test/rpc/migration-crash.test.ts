import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Backend } from '../../clients/typescript/index.js';
import { createClient, type OptistoreClient, type StoreRole } from '../../clients/typescript/index.js';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { MigrateResultResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import type { Batch } from '../../server/rows/batch.js';
import { all, load } from '../backends/runs.js';
import { newest } from '../backends/suite-copies.js';
import { saveRun } from './raw-load.js';
import { floatRun, floats } from './sample-runs.js';
import { TwoStoreDaemon } from './two-stores.js';
import { dice } from './wire.js';

const KILL_COUNT = 20;
const COLUMN_COUNT = 8;
/** 12 MiB of rows. */
const RUN = floatRun(COLUMN_COUNT, 200_000);
const KEY = 'k/moved';
const MANY_KILL_COUNT = 6;
const SMALL_RUN = floatRun(COLUMN_COUNT, 4000);
const MANY_KEYS = Array.from({ length: 100 }, (_, i) => `many/${String(i).padStart(2, '0')}`);

let daemon: TwoStoreDaemon;

beforeAll(async () => {
  daemon = await TwoStoreDaemon.start();
  await saveRun(daemon.address, KEY, floats(COLUMN_COUNT), RUN, 1 << 14);
});

afterAll(() => daemon[Symbol.asyncDispose]());

/** A client whose connection is made. */
async function connected(): Promise<OptistoreClient> {
  const client = createClient({ address: daemon.address });
  await client.getStatus();
  return client;
}

type Move = readonly [from: StoreRole, to: StoreRole];
const THERE: Move = ['primary', 'secondary'];
const BACK: Move = ['secondary', 'primary'];

const begin = (client: OptistoreClient, [from, to]: Move): Promise<MigrateResultResponse[]> =>
  all(client.migrate({ key: KEY }, { from, to }));

/** Moves it to the end; gives how long that took. */
async function move(client: OptistoreClient, way: Move): Promise<number> {
  const start = performance.now();
  expect((await begin(client, way)).at(-1)).toMatchObject({ done: true, revision: 1n, rowCount: BigInt(RUN.rowCount) });
  return performance.now() - start;
}

/** Which stores have a result of the key; each that has it has it whole, bit for bit. */
async function wholeCopies(stores: Record<'primary' | 'secondary', StorageBackend>, key = KEY): Promise<StoreRole[]> {
  const roles: StoreRole[] = [];
  const run = key === KEY ? RUN : SMALL_RUN;
  for (const role of ['primary', 'secondary'] as const) {
    const manifest = await newest(stores[role], key).catch(() => undefined);
    if (manifest?.kind !== RevisionKind.COMMITTED) continue;
    expect(isSame(await load(stores[role], manifest), run), `the copy of ${key} in the ${role} is whole`).toBe(true);
    roles.push(role);
  }
  return roles;
}

const isSame = (batch: Batch | undefined, run: Batch): boolean =>
  batch?.rowCount === run.rowCount &&
  batch.columns.every(({ values }, i) => Buffer.from(values).equals(run.columns[i]?.values ?? new Uint8Array()));

/** Where the daemon says that copies are. */
async function placesOf(client: OptistoreClient): Promise<Backend[]> {
  return (await client.getResult(KEY)).placements.map(({ backend }) => backend);
}

test(`a migration killed at ${KILL_COUNT} random points leaves the result whole each time, and a second try ends well`, async () => {
  // Of daemons that have just started, as those that are killed.
  const lengths = new Map<Move, number>();
  for (const way of [THERE, BACK]) {
    await using client = await connected();
    lengths.set(way, await move(client, way));
    await daemon.process.stop('SIGTERM');
    await daemon.restart();
  }
  const roll = dice(7919);
  let cutOffCount = 0;
  const found: Record<string, number> = {};
  for (let kill = 0; kill < KILL_COUNT; kill++) {
    const way = kill % 2 === 0 ? THERE : BACK;
    const [, to] = way;
    {
      await using client = await connected();
      const moment = ((kill + roll()) / KILL_COUNT) * (lengths.get(way) ?? 0);
      const ended = begin(client, way).then(
        () => true,
        () => false,
      );
      await sleep(moment);
      await daemon.process.stop('SIGKILL');
      if (!(await ended)) cutOffCount++;
    }
    {
      await using stores = await daemon.openStores();
      const copies = await wholeCopies(stores);
      expect(copies.length, `kill ${kill}`).toBeGreaterThan(0);
      const state = copies.length === 2 ? 'in both' : copies[0] === to ? 'in the target' : 'in the source';
      found[state] = (found[state] ?? 0) + 1;
    }
    await daemon.restart();
    await using client = createClient({ address: daemon.address });
    await move(client, way);
    expect(await placesOf(client)).toEqual([to === 'primary' ? Backend.PRIMARY : Backend.SECONDARY]);
  }
  await daemon.process.stop('SIGTERM');
  {
    await using stores = await daemon.openStores();
    expect(await wholeCopies(stores)).toEqual(['primary']);
  }
  await daemon.restart();
  // Many of them were in the midst of it, however the machine's speed has changed since it was measured.
  expect(cutOffCount, JSON.stringify(found)).toBeGreaterThan(KILL_COUNT / 4);
}, 300_000);

test(`a migration of many results killed ${MANY_KILL_COUNT} times loses none, and the last try has them all`, async () => {
  for (const key of MANY_KEYS) await saveRun(daemon.address, key, floats(COLUMN_COUNT), SMALL_RUN, 1 << 14);
  const migrate = (client: OptistoreClient) =>
    client.migrate({ prefix: 'many/' }, { from: 'primary', to: 'secondary' });
  const arrivedCounts: number[] = [];
  for (let kill = 0; kill < MANY_KILL_COUNT; kill++) {
    {
      await using client = await connected();
      // Behind a few that this try has brought, in the midst of the next.
      let doneCount = 0;
      let killed: Promise<unknown> | undefined;
      const running = (async () => {
        for await (const { done } of migrate(client))
          if (done && ++doneCount > 4) killed ??= daemon.process.stop('SIGKILL');
      })();
      await expect(running).rejects.toThrow();
      await killed;
    }
    {
      await using stores = await daemon.openStores();
      let arrivedCount = 0;
      for (const key of MANY_KEYS) {
        const copies = await wholeCopies(stores, key);
        expect(copies.length, `kill ${kill}, ${key}`).toBeGreaterThan(0);
        if (copies.includes('secondary')) arrivedCount++;
      }
      arrivedCounts.push(arrivedCount);
    }
    await daemon.restart();
  }
  // Each went on where the one before was cut off, and none had come to the end.
  expect(arrivedCounts).toEqual([...arrivedCounts].sort((a, b) => a - b));
  expect(arrivedCounts.at(-1)).toBeLessThan(MANY_KEYS.length);
  {
    await using client = await connected();
    await all(migrate(client));
  }
  await daemon.process.stop('SIGTERM');
  await using stores = await daemon.openStores();
  for (const key of MANY_KEYS) expect(await wholeCopies(stores, key)).toEqual(['secondary']);
}, 120_000);
