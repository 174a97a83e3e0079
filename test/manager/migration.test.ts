import { create, toJson, type JsonValue } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManifestSchema, RevisionKind, type Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { Outcome, ReplicationMode, ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { StorageError } from '../../server/errors.js';
import { KeyTurns } from '../../server/manager/migration/key-turns.js';
import { migrateResults, type MigrationProgress } from '../../server/manager/migration/migrate-result.js';
import { storeOf, type Role, type Stores } from '../../server/manager/stores.js';
import { resultSetsOf } from '../../server/rows/row-numbers/given-rows.js';
import { all, asText, lineRows, load, RUNNING, save, uploadSpec } from '../backends/runs.js';
import { newest } from '../backends/suite-copies.js';
import { altered, ThreeStores } from './three-stores.js';

const ROW_COUNT = 50_000;

let stores: ThreeStores;

beforeEach(async () => {
  stores = await ThreeStores.open();
});

afterEach(() => stores[Symbol.asyncDispose]());

const DOWN = new StorageError('BACKEND_UNAVAILABLE', 'It is down.');

interface Surroundings {
  readonly keepSource: boolean;
  readonly among: Stores;
  readonly turns: KeyTurns;
  readonly isMirroring: boolean;
}

/** Migrates to the end; gives what was told. */
function migrate(
  what: { key: string } | { prefix: string },
  from: Role,
  to: Role,
  { keepSource = false, among = stores, turns = new KeyTurns(), isMirroring = false }: Partial<Surroundings> = {},
): Promise<MigrationProgress[]> {
  const mirroring = { isOn: isMirroring, start: () => undefined };
  return all(migrateResults({ stores: among, turns, mirroring }, { what, from, to, keepSource }, RUNNING));
}

/** A third revision, with all that a result can have. */
async function rich(store: StorageBackend, key: string): Promise<Manifest> {
  await save(store, key, []);
  const spec = uploadSpec(key, `rich-${key}`, {
    ...{ tags: { study: 'beam' }, attributes: { seed: 7 }, description: 'a run' },
  });
  await using upload = await store.openUpload(spec, RUNNING);
  await upload.append(lineRows(0, ROW_COUNT));
  const resultSets = resultSetsOf([{ name: 'picked', rows: [3, 42, 48], createdBy: 'ada' }]);
  await upload.commit({ rowCount: ROW_COUNT, outcome: Outcome.STOPPED, resultSets });
  return store.annotate(key, undefined, (manifest) => void (manifest.tags['later'] = 'x'), RUNNING);
}

/** Whether a store has a result of this key, and not a marker or nothing. */
const has = (store: StorageBackend, key: string) =>
  newest(store, key).then(
    ({ kind }) => kind === RevisionKind.COMMITTED,
    () => false,
  );

/** Where a key is, of all stores. */
async function placesOf(key: string): Promise<Role[]> {
  const roles: Role[] = ['primary', 'secondary', 'cache'];
  const found = await Promise.all(roles.map((role) => has(storeOf(stores, role), key)));
  return roles.filter((_, i) => found[i]);
}

/** What a result is, but for what each store has of its own. */
function described(manifest: Manifest): JsonValue {
  const own = { segments: [], sizeBytes: 0n, changeNumber: 0n, replication: ReplicationState.NONE };
  return toJson(ManifestSchema, create(ManifestSchema, { ...manifest, ...own }));
}

async function expectWhole(role: Role, source: Manifest): Promise<void> {
  const copy = await newest(storeOf(stores, role), source.key);
  expect(described(copy)).toEqual(described(source));
  expect(asText(await load(storeOf(stores, role), copy))).toEqual(asText(lineRows(0, Number(source.rowCount))));
}

const MOVES: [Role, Role][] = [
  ['primary', 'secondary'],
  ['secondary', 'primary'],
  ['cache', 'primary'],
  ['cache', 'secondary'],
];
const COPIES: [Role, Role][] = [...MOVES, ['primary', 'cache'], ['secondary', 'cache']];

describe('a result', () => {
  test.each(MOVES)(
    'moved from %s to %s is whole there, as it was in every respect, and nowhere else',
    async (from, to) => {
      const source = await rich(storeOf(stores, from), 'k');
      const told = await migrate({ key: 'k' }, from, to);
      expect(told.at(-1)).toMatchObject({
        ...{ key: 'k', rowCount: ROW_COUNT, copiedRowCount: ROW_COUNT, verifiedRowCount: ROW_COUNT },
        ...{ doneCount: 1, totalCount: 1, copiedBytes: ROW_COUNT * 16, copy: { revision: 3n } },
      });
      await expectWhole(to, source);
      expect(await placesOf('k')).toEqual([to]);
      expect(await newest(storeOf(stores, from), 'k')).toMatchObject({ kind: RevisionKind.MOVED, revision: 3n });
    },
  );

  test.each(COPIES)('copied from %s to %s is whole in both', async (from, to) => {
    const source = await rich(storeOf(stores, from), 'k');
    await migrate({ key: 'k' }, from, to, { keepSource: true });
    for (const role of [from, to]) await expectWhole(role, source);
    // Again: it is there already.
    const told = await migrate({ key: 'k' }, from, to, { keepSource: true });
    expect(told.at(-1)).toMatchObject({ copy: { revision: 3n }, copiedBytes: 0, verifiedRowCount: ROW_COUNT });
  });

  test('comes back under its number, without and with changes that it had elsewhere', async () => {
    const source = await rich(stores.primary, 'k');
    await migrate({ key: 'k' }, 'primary', 'secondary');
    await migrate({ key: 'k' }, 'secondary', 'primary');
    await expectWhole('primary', source);
    await migrate({ key: 'k' }, 'primary', 'secondary');
    await stores.secondary.annotate('k', undefined, (manifest) => void (manifest.tags['new'] = 'x'), RUNNING);
    await migrate({ key: 'k' }, 'secondary', 'primary');
    expect(await newest(stores.primary, 'k')).toMatchObject({ revision: 4n, tags: { new: 'x' } });
    expect(await placesOf('k')).toEqual(['primary']);
  });

  test('without rows is moved too', async () => {
    await save(stores.primary, 'empty', []);
    await migrate({ key: 'empty' }, 'primary', 'secondary');
    expect(await placesOf('empty')).toEqual(['secondary']);
  });

  test('that has arrived before is told as done again: an answer may have been lost', async () => {
    await save(stores.primary, 'k', [lineRows(0, 10)]);
    await migrate({ key: 'k' }, 'primary', 'secondary');
    const told = await migrate({ key: 'k' }, 'primary', 'secondary');
    expect(told.at(-1)).toMatchObject({ copy: { revision: 1n }, doneCount: 1 });
    // To copy it, there would have to be something.
    const copied = migrate({ key: 'k' }, 'primary', 'secondary', { keepSource: true });
    await expect(copied).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
  });

  test('that leaves the secondary is no longer replicated', async () => {
    await save(stores.primary, 'k', [lineRows(0, 10)], { replication: ReplicationMode.ASYNC });
    await migrate({ key: 'k' }, 'primary', 'secondary', { keepSource: true });
    await stores.primary.setReplication('k', 1n, ReplicationState.DONE, RUNNING);
    await migrate({ key: 'k' }, 'secondary', 'primary');
    expect(await newest(stores.primary, 'k')).toMatchObject({ revision: 1n, replication: ReplicationState.NONE });
    expect(await placesOf('k')).toEqual(['primary']);
  });
});

describe('a result that comes to the primary', () => {
  const stateOf = async (key: string) => (await newest(stores.primary, key)).replication;

  test('is replicated where its key was, or where every change is', async () => {
    await save(stores.primary, 'replicated', [], { replication: ReplicationMode.ASYNC });
    await stores.primary.setReplication('replicated', 1n, ReplicationState.DONE, RUNNING);
    for (const key of ['replicated', 'replicated', 'new', 'mirrored'])
      await save(stores.pinned, key, [lineRows(0, 10)]);
    for (const key of ['replicated', 'new']) await migrate({ key }, 'cache', 'primary');
    await migrate({ key: 'mirrored' }, 'cache', 'primary', { isMirroring: true });
    expect(await stateOf('replicated')).toBe(ReplicationState.PENDING);
    expect(await stateOf('new')).toBe(ReplicationState.NONE);
    expect(await stateOf('mirrored')).toBe(ReplicationState.PENDING);
  });
});

describe('nothing is lost', () => {
  test('where the source is corrupt: nothing moves, and nothing of it becomes visible', async () => {
    await save(stores.primary, 'k', [lineRows(0, ROW_COUNT)]);
    await stores.damagePrimary();
    for (const keepSource of [false, true]) {
      const moved = migrate({ key: 'k' }, 'primary', 'secondary', { keepSource });
      await expect(moved).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
    }
    expect(await placesOf('k')).toEqual(['primary']);
    await expect(newest(stores.secondary, 'k')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
  });

  test.each([true, false])(
    'where the target has it already, but corrupt: it is replaced (kept: %s)',
    async (keepSource) => {
      const source = await save(stores.primary, 'k', [lineRows(0, ROW_COUNT)]);
      await migrate({ key: 'k' }, 'primary', 'secondary', { keepSource: true });
      await stores.damagePrimary();
      await expect(load(stores.primary, source)).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
      await migrate({ key: 'k' }, 'secondary', 'primary', { keepSource });
      await expectWhole('primary', await newest(stores.primary, 'k'));
      expect(await placesOf('k')).toEqual(keepSource ? ['primary', 'secondary'] : ['primary']);
    },
  );

  test('where the target does not keep what was written: the source stays', async () => {
    await save(stores.primary, 'k', [lineRows(0, 1000)]);
    // A disk that gives other bytes than it took.
    const secondary = altered(stores.secondary, {
      async *read(...call) {
        for await (const batch of stores.secondary.read(...call))
          yield { ...batch, columns: [...batch.columns].reverse() };
      },
    });
    const moved = migrate({ key: 'k' }, 'primary', 'secondary', { among: { ...stores, secondary } });
    await expect(moved).rejects.toMatchObject({ reason: 'RESULT_CORRUPT', message: /primary keeps it/ });
    expect(await placesOf('k')).toContain('primary');
  });

  test('where it is broken off: the same again goes on with the row where it stopped', async () => {
    const batches = Array.from({ length: 4 }, (_, i) => lineRows(i * 70_000, 70_000));
    const source = await save(stores.primary, 'k', batches);
    const asked: number[] = [];
    const primary = altered(stores.primary, {
      async *read(manifest, selection, signal) {
        asked.push(selection.firstRow);
        for await (const batch of stores.primary.read(manifest, selection, signal)) {
          if (asked.length === 1 && batch.firstRow >= 140_000) throw DOWN;
          yield batch;
        }
      },
    });
    const among = { ...stores, primary };
    await expect(migrate({ key: 'k' }, 'primary', 'secondary', { among })).rejects.toBe(DOWN);
    expect(await placesOf('k')).toEqual(['primary']);
    const told = await migrate({ key: 'k' }, 'primary', 'secondary', { among });
    const [, resumedAt = 0] = asked;
    expect(resumedAt).toBeGreaterThan(0);
    expect(told.at(-1)).toMatchObject({ copiedRowCount: 280_000, copiedBytes: (280_000 - resumedAt) * 16 });
    await expectWhole('secondary', source);
    expect(await placesOf('k')).toEqual(['secondary']);
  });

  test('where the source is changed meanwhile: both are kept, and the error says so', async () => {
    await save(stores.primary, 'k', [lineRows(0, 10)]);
    const moved = migrate({ key: 'k' }, 'primary', 'secondary', {
      among: {
        ...stores,
        primary: whileRead('k', () => stores.primary.annotate('k', undefined, () => undefined, RUNNING)),
      },
    });
    await expect(moved).rejects.toMatchObject({
      ...{ reason: 'REVISION_MISMATCH', message: /was changed in the primary while revision 1 was moved/ },
      metadata: { revision: '2', copy_revision: '1' },
    });
    expect(await placesOf('k')).toEqual(['primary', 'secondary']);
    await migrate({ key: 'k' }, 'primary', 'secondary');
    expect(await newest(stores.secondary, 'k')).toMatchObject({ revision: 2n });
    expect(await placesOf('k')).toEqual(['secondary']);
  });

  test.each([true, false])(
    'but what was deleted meanwhile, which comes to life nowhere (kept: %s)',
    async (keepSource) => {
      await save(stores.primary, 'k', [lineRows(0, 10)]);
      const moved = migrate({ key: 'k' }, 'primary', 'secondary', {
        keepSource,
        among: { ...stores, primary: whileRead('k', () => stores.primary.delete('k', undefined, RUNNING)) },
      });
      await expect(moved).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
      expect(await placesOf('k')).toEqual([]);
    },
  );

  test('where two take it opposite ways at the same time', async () => {
    await save(stores.primary, 'k', [lineRows(0, ROW_COUNT)]);
    await migrate({ key: 'k' }, 'primary', 'secondary', { keepSource: true });
    const turns = new KeyTurns();
    const there = migrate({ key: 'k' }, 'primary', 'secondary', { turns });
    const back = migrate({ key: 'k' }, 'secondary', 'primary', { turns });
    await Promise.all([there, back]);
    expect(await placesOf('k')).toEqual(['primary']);
    await expectWhole('primary', await newest(stores.primary, 'k'));
  });
});

/** The primary, in which something happens while a key's first rows are read. */
function whileRead(key: string, act: () => Promise<unknown>): StorageBackend {
  let isDone = false;
  return altered(stores.primary, {
    async *read(manifest, selection, signal) {
      for await (const batch of stores.primary.read(manifest, selection, signal)) {
        if (!isDone && manifest.key === key) await act();
        isDone = true;
        yield batch;
      }
    },
  });
}

describe('a migration is refused', () => {
  beforeEach(async () => {
    await save(stores.primary, 'k', [lineRows(0, 10)]);
  });

  test.each([
    ['a key that the store has not', { key: 'none' }, 'primary', 'secondary', 'RESULT_NOT_FOUND'],
    ['a key that another store has', { key: 'k' }, 'secondary', 'primary', 'RESULT_NOT_FOUND'],
    ['no key', { key: '' }, 'primary', 'secondary', 'KEY_INVALID'],
    ['a store and itself', { key: 'k' }, 'primary', 'primary', 'REQUEST_INVALID'],
    ['a move to the cache', { key: 'k' }, 'primary', 'cache', 'VOLATILE_TARGET'],
    ['a move of all to the cache', { prefix: '' }, 'primary', 'cache', 'VOLATILE_TARGET'],
  ] as const)('for %s', async (_, what, from, to, reason) => {
    await expect(migrate(what, from, to)).rejects.toMatchObject({ reason });
    expect(await placesOf('k')).toEqual(['primary']);
  });

  test('for a deleted result', async () => {
    await stores.primary.delete('k', undefined, RUNNING);
    await expect(migrate({ key: 'k' }, 'primary', 'secondary')).rejects.toMatchObject({
      ...{ reason: 'RESULT_NOT_FOUND', message: /was deleted, at revision 2/ },
    });
  });

  test('where there is no secondary', async () => {
    const among = { ...stores, secondary: undefined };
    for (const [from, to] of [['primary', 'secondary'] as const, ['secondary', 'primary'] as const])
      await expect(migrate({ key: 'k' }, from, to, { among })).rejects.toMatchObject({ reason: 'NO_SECONDARY' });
  });

  test('to the secondary, where an older revision or a deletion in the primary would hide it', async () => {
    for (let i = 0; i < 3; i++) await save(stores.pinned, 'k', [lineRows(0, 20)]);
    const moved = () => migrate({ key: 'k' }, 'cache', 'secondary');
    const hidden = { reason: 'REVISION_MISMATCH', message: /would hide revision 3 in the secondary/ };
    await expect(moved()).rejects.toMatchObject(hidden);
    await stores.primary.delete('k', undefined, RUNNING);
    await expect(moved()).rejects.toMatchObject(hidden);
    await migrate({ key: 'k' }, 'cache', 'primary');
    await migrate({ key: 'k' }, 'primary', 'secondary');
    expect(await placesOf('k')).toEqual(['secondary']);
  });

  test('where the target has something newer, or another one of that number', async () => {
    await save(stores.secondary, 'k', [lineRows(0, 20)]);
    const mismatch = { reason: 'REVISION_MISMATCH' };
    await expect(migrate({ key: 'k' }, 'primary', 'secondary')).rejects.toMatchObject(mismatch);
    await save(stores.secondary, 'k', [lineRows(0, 30)]);
    await expect(migrate({ key: 'k' }, 'primary', 'secondary')).rejects.toMatchObject(mismatch);
    expect(await placesOf('k')).toEqual(['primary', 'secondary']);
    expect(await newest(stores.secondary, 'k')).toMatchObject({ revision: 2n, rowCount: 30n });
  });
});

describe('many results', () => {
  test('are moved by the beginning of their keys, or all', async () => {
    for (const key of ['a', 'runs/1', 'runs/2', 'z']) await save(stores.primary, key, [lineRows(0, 10)]);
    const some = await migrate({ prefix: 'runs/' }, 'primary', 'secondary');
    expect(some.filter(({ copy }) => copy).map(({ key, doneCount }) => [key, doneCount])).toEqual([
      ['runs/1', 1],
      ['runs/2', 2],
    ]);
    expect(await placesOf('a')).toEqual(['primary']);
    const rest = await migrate({ prefix: '' }, 'primary', 'secondary');
    expect(rest.at(-1)).toMatchObject({ key: 'z', doneCount: 2, totalCount: 2 });
    for (const key of ['a', 'runs/1', 'runs/2', 'z']) expect(await placesOf(key)).toEqual(['secondary']);
    expect(await migrate({ prefix: '' }, 'primary', 'secondary')).toEqual([]);
  });

  test('go on where one of them fails', async () => {
    for (const key of ['a', 'b', 'c']) await save(stores.primary, key, [lineRows(0, 10)]);
    await save(stores.secondary, 'b', [lineRows(0, 20)]);
    const told = await migrate({ prefix: '' }, 'primary', 'secondary');
    expect(told.map(({ key, copy, failure }) => [key, copy !== undefined, failure?.reason])).toEqual([
      ['a', true, undefined],
      ['b', false, 'REVISION_MISMATCH'],
      ['c', true, undefined],
    ]);
    expect(told.at(-1)).toMatchObject({ doneCount: 2, totalCount: 3 });
    expect(await placesOf('b')).toEqual(['primary', 'secondary']);
  });

  test('end where a store is down, and what was not begun stays where it is', async () => {
    for (const key of ['a', 'b', 'c']) await save(stores.primary, key, [lineRows(0, 10)]);
    const secondary = altered(stores.secondary, {
      copyIn: (manifest, ...rest) =>
        manifest.key === 'b' ? Promise.reject(DOWN) : stores.secondary.copyIn(manifest, ...rest),
    });
    await expect(migrate({ prefix: '' }, 'primary', 'secondary', { among: { ...stores, secondary } })).rejects.toBe(
      DOWN,
    );
    expect(await placesOf('a')).toEqual(['secondary']);
    for (const key of ['b', 'c']) expect(await placesOf(key)).toEqual(['primary']);
  });

  test('that were deleted since they were listed are passed over', async () => {
    for (const key of ['a', 'b']) await save(stores.primary, key, [lineRows(0, 10)]);
    const primary = whileRead('a', () => stores.primary.delete('b', undefined, RUNNING));
    const told = await migrate({ prefix: '' }, 'primary', 'secondary', { among: { ...stores, primary } });
    expect(told.map(({ key, doneCount }) => [key, doneCount])).toEqual([['a', 1]]);
  });
});
