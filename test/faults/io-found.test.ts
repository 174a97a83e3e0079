import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sqliteConnection } from '../../server/backends/database/sqlite-file/sqlite-connection.js';
import { OPERATIONS } from './io-operations.js';
import { FailingWorld } from './io-world.js';
import { Errno, type CallName } from './shim/faulty-daemon.js';

/** A disk that has kept nothing but what was synced. */
const KEEPS_NOTHING_ELSE = () => 0;

/** Does what one of the operations does, on a key. */
async function does(world: FailingWorld, name: string, key: string): Promise<void> {
  const operation = OPERATIONS.find((one) => one.name === name);
  if (operation === undefined) throw new Error(`there is no operation "${name}"`);
  await operation.act(world, key);
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
