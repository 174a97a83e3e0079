import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationMode } from '../../proto/gen/optistore/v1/result_pb.js';
import { composed } from '../../server/manager/compose.js';
import { KeyTurns } from '../../server/manager/migration/key-turns.js';
import { migrateResults } from '../../server/manager/migration/migrate-result.js';
import { resultNotFound } from '../../server/backends/result-errors.js';
import type { Stores } from '../../server/manager/stores.js';
import { all, lineRows, RUNNING, save, uploadSpec } from '../backends/runs.js';
import { altered, ThreeStores } from './three-stores.js';

const WAYS = { there: ['primary', 'secondary'], back: ['secondary', 'primary'] } as const;
type Way = keyof typeof WAYS;

let stores: ThreeStores;
beforeEach(async () => {
  stores = await ThreeStores.open();
  await save(stores.primary, 'k', [lineRows(0, 3)]);
});
afterEach(() => stores[Symbol.asyncDispose]());

async function migrate(way: Way, among: Stores = stores): Promise<void> {
  const [from, to] = WAYS[way];
  const between = { stores: among, turns: new KeyTurns(), mirroring: { isOn: false, start: () => undefined } };
  await all(migrateResults(between, { what: { key: 'k' }, from, to, keepSource: false }, RUNNING));
}

/** The stores as one; behind the first answer of a call of one of them something else happens. */
function asOne(role: 'primary' | 'secondary', call: 'stat' | 'annotate', meanwhile: () => Promise<void>) {
  const store = stores[role];
  let isFirst = true;
  const intervened = async (...args: never[]): Promise<unknown> => {
    const answer = await (store[call] as (...args: never[]) => Promise<unknown>).apply(store, args);
    if (isFirst) {
      isFirst = false;
      await meanwhile();
    }
    return answer;
  };
  const among = {
    primary: stores.primary,
    secondary: stores.secondary,
    pinned: stores.pinned,
    [role]: altered(store, { [call]: intervened }),
  };
  return composed(among, undefined, ReplicationMode.NONE).store;
}

/** A migration back to the primary that has put the copy there, and stops before it removes the source until it is let go. */
function halfBack(): { begin: () => Promise<void>; goOn: () => Promise<void> } {
  let goOn: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (goOn = resolve));
  let isThere: () => void = () => undefined;
  const there = new Promise<void>((resolve) => (isThere = resolve));
  const secondary = altered(stores.secondary, {
    async moveOut(...call) {
      isThere();
      await gate;
      return stores.secondary.moveOut(...call);
    },
  });
  let migrating: Promise<void> | undefined;
  return {
    async begin() {
      migrating = migrate('back', { primary: stores.primary, secondary, pinned: stores.pinned });
      await Promise.race([there, migrating]);
    },
    async goOn() {
      goOn();
      await migrating;
    },
  };
}

describe('a result that goes to another store at that very moment', () => {
  test.each(['there', 'back'] as const)(
    '%s is found by who looks for it, and by who changes or deletes it',
    async (way) => {
      for (const act of ['stat', 'annotate', 'delete'] as const) {
        await save(stores.primary, 'k', [lineRows(0, 3)]);
        if (way === 'back') await migrate('there');
        const one = asOne('primary', 'stat', () => migrate(way));
        if (act === 'stat') expect((await one.stat('k', undefined, RUNNING)).kind).toBe(RevisionKind.COMMITTED);
        if (act === 'annotate') {
          await one.annotate('k', undefined, ({ tags }) => void (tags['by'] = act), RUNNING);
          expect((await one.stat('k', undefined, RUNNING)).tags).toMatchObject({ by: act });
        }
        if (act === 'delete') {
          await one.delete('k', undefined, RUNNING);
          expect((await one.stat('k', undefined, RUNNING)).kind).toBe(RevisionKind.DELETED);
        }
      }
    },
  );

  test('is not lost by a save that begins then, and is given up', async () => {
    await migrate('there');
    const migration = halfBack();
    const one = asOne('secondary', 'stat', migration.begin);
    await (await one.openUpload(uploadSpec('k', 'given-up'), RUNNING))[Symbol.asyncDispose]();
    await migration.goOn();
    expect(await one.stat('k', undefined, RUNNING)).toMatchObject({ kind: RevisionKind.COMMITTED, revision: 1n });
  });

  test('has the change that was made of it then', async () => {
    await migrate('there');
    const migration = halfBack();
    const one = asOne('secondary', 'stat', migration.begin);
    const { revision } = await one.annotate('k', undefined, ({ tags }) => void (tags['by'] = 'me'), RUNNING);
    await expect(migration.goOn()).rejects.toMatchObject({ reason: 'REVISION_MISMATCH' });
    expect(await one.stat('k', undefined, RUNNING)).toMatchObject({ revision, tags: { by: 'me' } });
  });

  test('again and again is given up by who begins a save of it, or changes it: BACKEND_UNAVAILABLE, and nothing is changed', async () => {
    await migrate('there');
    // It comes back for whoever looks, and is gone again when they act.
    const away = () => migrate('there').then(() => Promise.reject(resultNotFound('k')));
    const primary = altered(stores.primary, {
      openUpload: away,
      annotate: away,
    });
    const secondary = altered(stores.secondary, {
      annotate: () => migrate('back').then(() => Promise.reject(resultNotFound('k'))),
    });
    const one = composed({ primary, secondary, pinned: stores.pinned }, undefined, ReplicationMode.NONE).store;
    const tooOften = {
      reason: 'BACKEND_UNAVAILABLE',
      message: expect.stringContaining('from store to store') as string,
    };
    await expect(one.openUpload({ ...uploadSpec('k', 'u'), append: true }, RUNNING)).rejects.toMatchObject(tooOften);
    await expect(one.annotate('k', undefined, ({ tags }) => void (tags['by'] = 'me'), RUNNING)).rejects.toMatchObject(
      tooOften,
    );
    expect((await one.stat('k', undefined, RUNNING)).tags).not.toHaveProperty('by');
  });
});
