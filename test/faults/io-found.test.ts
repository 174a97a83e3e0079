import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import type { StorageBackend } from '../../server/backends/backend.js';
import { sqliteConnection } from '../../server/backends/database/sqlite-file/sqlite-connection.js';
import { all, RUNNING } from '../backends/runs.js';
import { FaultyOperations } from './io-faults.js';
import { operationOf } from './io-operations.js';
import { FailingWorld, type StoreName } from './io-world.js';
import { Errno, STORES_IN_FILES, type CallName } from './shim/faulty-daemon.js';

const STORES = Object.keys(STORES_IN_FILES) as StoreName[];

/** A disk that has kept nothing but what was synced. */
const KEEPS_NOTHING_ELSE = () => 0;

/** Does what one of the operations does, on a key. */
async function does(world: FailingWorld, name: string, key: string): Promise<void> {
  await operationOf(name).act(world, key);
}

/** Does it with a call that fails. */
async function fails(world: FailingWorld, [call, nth]: [CallName, number], name: string, key: string): Promise<void> {
  world.daemon.failNth(call, nth, Errno.EIO);
  await expect(does(world, name, key)).rejects.toMatchObject({ reason: 'BACKEND_UNAVAILABLE' });
  expect(world.daemon.disarm(), `${call} ${nth} of "${name}"`).toBe(true);
}

describe('a SQLite log whose last sync has failed', () => {
  test('is whole before a daemon that was killed then answers again, also where a reader keeps the log from being brought into the file', async () => {
    await using world = await FailingWorld.start('SQLite', false);
    await does(world, 'save few', 'before');
    await fails(world, ['sync', 1], 'save few', 'failed');
    await world.kill();
    const reader = sqliteConnection(join(world.daemon.disk, 'first', 'data.db'));
    try {
      await reader('results').count();
      await world.daemon.start();
      await does(world, 'save few', 'behind');
      await world.checkCut(world.daemon.logLength, KEEPS_NOTHING_ELSE);
    } finally {
      await reader.destroy();
    }
  });
});

test('a disk that fails while a SQLite store is opened is told as such, and not taken for damage', async () => {
  await using world = await FailingWorld.start('SQLite', false);
  await does(world, 'save few', 'before');
  await world.kill();
  world.daemon.failNth('write', 1, Errno.EIO);
  await expect(world.daemon.start()).rejects.toThrow(/EIO.*\[BACKEND_UNAVAILABLE\]/s);
  expect(world.daemon.disarm()).toBe(true);
  await world.daemon.start();
  await world.check();
});

/** What a watcher is told of each key that is there, and under which number. */
async function toldChanges(world: FailingWorld, keyCount: number): Promise<Map<string, bigint>> {
  const told = new Map<string, bigint>();
  for await (const { event, eventNumber } of world.client.watch({ afterEvent: 0n })) {
    if (event.case !== undefined) told.set(event.value.key, eventNumber);
    if (told.size === keyCount) break;
  }
  return told;
}

/** The same of a store. */
async function changesOf(store: StorageBackend): Promise<Map<string, bigint>> {
  const changes = await all(store.changes({ after: 0n }, RUNNING));
  return new Map(changes.map(({ key, changeNumber }) => [key, changeNumber]));
}

describe.each(STORES)(
  '%s: a sync that fails, whichever it is, changes no number that a watcher was told of a change',
  (store) => {
    test.each(['goes on', 'is killed'])('though the power is cut later: the daemon %s', async (then) => {
      await using world = await FailingWorld.start(store, false);
      let nth = 0;
      for (let hasFailed = true; hasFailed;) {
        const key = `run${++nth}`;
        await does(world, 'save few', key);
        world.daemon.failNth('sync', nth, Errno.EIO);
        await does(world, 'update', key).catch(() => undefined);
        hasFailed = world.daemon.disarm();
        if (then === 'is killed') await world.restart();
        await does(world, 'update', `run${nth}`);
        await does(world, 'save few', `behind${nth}`);
        const told = await toldChanges(world, 2 * nth);
        await world.afterCut(world.daemon.logLength, KEEPS_NOTHING_ELSE, async (image) =>
          expect(await changesOf(image), `sync ${nth} failed`).toEqual(told),
        );
      }
      expect(nth).toBeGreaterThan(1);
    });
  },
);

/** Leaves nothing to chance: what is looked at is looked at here. */
const NO_CHANCE = () => 0.99;

describe('LevelDB: a write that fails, whichever it is, takes nothing', () => {
  test.each(['save few', 'save some', 'save many at once', 'update'])(
    'from what "%s" and all that comes behind it answer, also when the daemon is killed later',
    async (name) => {
      await using faulty = await FaultyOperations.start('leveldb', false, NO_CHANCE, 0);
      for (let nth = 1; await faulty.try(operationOf(name), { call: 'write', error: 'EIO', nth }); nth++) {
        await faulty.check().catch((error: unknown) => {
          throw new Error(`write ${nth} failed`, { cause: error });
        });
      }
      await faulty.restart();
    },
  );
});

test('LevelDB: an abort that can not remove its rows is answered, stands, and the next start removes them', async () => {
  await using world = await FailingWorld.start('leveldb', false);
  const abort = operationOf('abort many');
  await abort.prepare?.(world, 'aborted');
  const segments = join(world.daemon.disk, 'first', 'data', 'segments');
  world.daemon.failNth('unlink', 1, Errno.EIO);
  await abort.act(world, 'aborted');
  expect(world.daemon.disarm()).toBe(true);
  expect(await readdir(segments)).toHaveLength(1);
  await world.restart();
  // Files that are nobody's are looked for when the daemon serves.
  await vi.waitFor(async () => expect(await readdir(segments)).toEqual([]), 10_000);
});
