import { describe, test } from 'vitest';
import { campaign, IS_LONG, MANY_STARTS_MS } from './campaign.js';
import { FaultyOperations, kindsOfFaults } from './io-faults.js';
import { LEFT, operationOf, OPERATIONS, OPERATIONS_OF_TWO, type Operation } from './io-operations.js';
import type { StoreName } from './io-world.js';
import { STORES_IN_FILES } from './shim/faulty-daemon.js';

/** What may fail right before a start, and is done behind it. */
const SAVE = operationOf('save few');
/** Faults that are tried of each operation where not all are. */
const SAMPLES = 1;
/** Faults that are tried of starts, and of ends. */
const STARTS = 1;
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

/** Any few faults of starts and ends. */
async function fewStarts(faulty: FaultyOperations): Promise<number> {
  let count = 0;
  for (const fault of faulty.anyOf(await faulty.countStart(), STARTS)) {
    await faulty.leave(LEFT.slice(0, 2));
    if (await faulty.tryStart(fault, 'the start', SAVE)) count++;
  }
  for (const fault of faulty.anyOf(await faulty.countStart(), STARTS))
    if (await faulty.tryStart({ ...fault, nth: 1 + (fault.nth % 8) }, 'the end', SAVE)) count++;
  return count;
}

/** Every call of a start and of an end fails in every way. */
async function everyStart(faulty: FaultyOperations, fails: 'the start' | 'the end'): Promise<number> {
  let count = 0;
  for (const kind of kindsOfFaults()) {
    for (let nth = 1; await faulty.tryStart({ ...kind, nth }, fails, SAVE); nth++) {
      if (++count % 10 === 0) await faulty.leave(LEFT.slice(0, 2));
    }
  }
  return count;
}

const STORES = Object.keys(STORES_IN_FILES) as StoreName[];

describe.each(STORES)('a call on a file that fails under %s', (store) => {
  /** In short campaigns each operation is left out under one of the stores. */
  const someOf = (operations: readonly Operation[]) =>
    operations.filter((_, i) => i % STORES.length !== STORES.indexOf(store));

  test.each([
    { what: 'one store', operations: OPERATIONS, hasSecondary: false },
    { what: 'two stores', operations: OPERATIONS_OF_TWO, hasSecondary: true },
  ])(
    'is told clearly, loses nothing acked, and the daemon goes on: $what',
    async ({ what, operations, hasSecondary }) => {
      const fault = `failed I/O, ${store}, ${what}`;
      await campaign(fault, { short: 1, long: operations.length }, (roll, number) => {
        const start = () => FaultyOperations.start(store, hasSecondary, roll);
        return IS_LONG
          ? every(operations[number % operations.length] as Operation, start)
          : few(someOf(operations), start);
      });
    },
    MANY_STARTS_MS,
  );

  test('while the daemon starts or ends is told clearly, and the next start finds all that was acked', async () => {
    await campaign(`failed I/O, ${store}, starts and ends`, { short: 1, long: 2 }, async (roll, number) => {
      await using faulty = await FaultyOperations.start(store, false, roll);
      await faulty.leave(LEFT);
      if (!IS_LONG) return await fewStarts(faulty);
      return await everyStart(faulty, number % 2 === 0 ? 'the start' : 'the end');
    });
  });
});
