import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { OptistoreError } from '../../clients/typescript/index.js';
import { OPERATIONS } from './io-operations.js';
import { FailingWorld, type StoreName } from './io-world.js';
import { Errno, STORES_IN_FILES } from './shim/faulty-daemon.js';

const TRIES = 8;
const PAUSE_MS = 200;

/** Tries again what has failed. */
async function untilDone(act: () => Promise<void>): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof OptistoreError) || i >= TRIES) throw error;
      await sleep(PAUSE_MS);
    }
  }
}

describe.each(Object.keys(STORES_IN_FILES) as StoreName[])('a sync that fails under %s', (store) => {
  test.each(['leave few', 'leave many', 'save few', 'update', 'delete few'])(
    'whichever it is, takes nothing from what "%s" then answers, though the disk keeps nothing but what was synced',
    async (name) => {
      const operation = OPERATIONS.find((one) => one.name === name);
      await using world = await FailingWorld.start(store, false);
      let nth = 0;
      for (let hasFailed = true; hasFailed;) {
        const key = `key/${++nth}`;
        await operation?.prepare?.(world, key);
        world.daemon.failNth('sync', nth, Errno.EIO);
        await untilDone(async () => operation?.act(world, key));
        hasFailed = world.daemon.disarm();
        await world
          .checkImage(world.daemon.logLength - 1, () => 0)
          .catch((error: unknown) => {
            throw new Error(`sync ${nth} failed`, { cause: error });
          });
      }
      expect(nth).toBeGreaterThan(1);
    },
  );
});
