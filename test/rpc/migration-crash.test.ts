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
async function wholeCopies(stores: Record<'primary' | 'secondary', StorageBackend>): Promise<StoreRole[]> {
  const roles: StoreRole[] = [];
  for (const role of ['primary', 'secondary'] as const) {
    const manifest = await newest(stores[role], KEY).catch(() => undefined);
    if (manifest?.kind !== RevisionKind.COMMITTED) continue;
    expect(isRun(await load(stores[role], manifest)), `the copy in the ${role} is whole`).toBe(true);
    roles.push(role);
  }
  return roles;
}

const isRun = (batch: Batch | undefined): boolean =>
  batch?.rowCount === RUN.rowCount &&
  batch.columns.every(({ values }, i) => Buffer.from(values).equals(RUN.columns[i]?.values ?? new Uint8Array()));

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
  await using stores = await daemon.openStores();
  expect(await wholeCopies(stores)).toEqual(['primary']);
  // Most of them were in the midst of it.
  expect(cutOffCount, JSON.stringify(found)).toBeGreaterThan(KILL_COUNT / 2);
}, 300_000);
