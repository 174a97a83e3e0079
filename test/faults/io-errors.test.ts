import { describe, test } from 'vitest';
import { campaign, IS_LONG } from './campaign.js';
import { FaultyOperations, kindsOfFaults } from './io-faults.js';
import { OPERATIONS, OPERATIONS_OF_TWO, type Operation } from './io-operations.js';
import type { StoreName } from './io-world.js';
import { STORES_IN_FILES } from './shim/faulty-daemon.js';

/** Faults that are tried of each operation where not all are. */
const SAMPLES = 2;
/** After so many the daemon is begun anew: what it holds is looked at again and again. */
const FAULTS_PER_DAEMON = 25;

/** Any few faults of each operation; gives their number. */
async function few(operations: readonly Operation[], start: () => Promise<FaultyOperations>): Promise<number> {
  await using faulty = await start();
  let count = 0;
  for (const operation of operations)
    for (const fault of await faulty.sample(operation, SAMPLES)) if (await faulty.try(operation, fault)) count++;
  await faulty.restart();
  return count;
}

/** Every call of an operation fails in every way; gives the number of faults. */
async function every(operation: Operation, start: () => Promise<FaultyOperations>): Promise<number> {
  let faulty = await start();
  try {
    let count = 0;
    for (const kind of kindsOfFaults()) {
      for (let nth = 1; await faulty.try(operation, { ...kind, nth }); nth++) {
        if (++count % FAULTS_PER_DAEMON > 0) continue;
        await faulty.restart();
        await faulty[Symbol.asyncDispose]();
        faulty = await start();
      }
    }
    await faulty.restart();
    return count;
  } finally {
    await faulty[Symbol.asyncDispose]();
  }
}

describe.each(Object.keys(STORES_IN_FILES) as StoreName[])('a call on a file that fails under %s', (store) => {
  test.each([
    { what: 'one store', operations: OPERATIONS, hasSecondary: false },
    { what: 'two stores', operations: OPERATIONS_OF_TWO, hasSecondary: true },
  ])(
    'is told clearly, loses nothing acked, and the daemon goes on: $what',
    async ({ what, operations, hasSecondary }) => {
      const fault = `failed I/O, ${store}, ${what}`;
      await campaign(fault, { short: 1, long: operations.length }, (roll, number) => {
        const start = () => FaultyOperations.start(store, hasSecondary, roll);
        return IS_LONG ? every(operations[number % operations.length] as Operation, start) : few(operations, start);
      });
    },
  );
});
