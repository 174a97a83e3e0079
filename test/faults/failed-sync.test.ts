import { describe, expect, test } from 'vitest';
import { IS_LONG, MANY_STARTS_MS } from './campaign.js';
import { FaultyOperations } from './io-faults.js';
import { operationOf } from './io-operations.js';
import type { StoreName } from './io-world.js';
import { STORES_IN_FILES } from './shim/faulty-daemon.js';

/** Leaves nothing to chance: what is looked at is looked at here. */
const NO_CHANCE = () => 0.99;

const SYNCED = ['leave few', 'leave many', 'save few', 'update', 'delete few'];
/** A daemon is begun for each sync of these. */
const KILLED = IS_LONG ? SYNCED : ['save few'];

describe.each(Object.keys(STORES_IN_FILES) as StoreName[])('a sync that fails under %s', (store) => {
  /** Lets each sync of an operation fail, and looks each time whether a disk that keeps nothing else has what was answered then. */
  async function failEach(name: string, killRate: number): Promise<void> {
    const operation = operationOf(name);
    await using faulty = await FaultyOperations.start(store, false, NO_CHANCE, killRate);
    let nth = 0;
    for (let hasFailed = true; hasFailed;) {
      hasFailed = await faulty.try(operation, { call: 'sync', error: 'EIO', nth: ++nth });
      await faulty.checkSynced().catch((error: unknown) => {
        throw new Error(`sync ${nth} failed`, { cause: error });
      });
    }
    expect(nth).toBeGreaterThan(1);
  }

  test.each(SYNCED)(
    'whichever it is, takes nothing from what "%s" then answers, though the disk keeps nothing but what was synced',
    (name) => failEach(name, 0),
  );

  test.each(KILLED)(
    'whichever it is, takes nothing from what "%s" answers a daemon that was killed then and begun again',
    (name) => failEach(name, 1),
    MANY_STARTS_MS,
  );
});
