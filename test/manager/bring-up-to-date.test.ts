import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationMode, ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import { StorageError } from '../../server/errors.js';
import type { Between } from '../../server/manager/migration/between.js';
import { bringUpToDate, type UpToDateProgress } from '../../server/manager/migration/bring-up-to-date.js';
import { KeyTurns } from '../../server/manager/migration/key-turns.js';
import { migrateStore, type StoreMigrationProgress } from '../../server/manager/migration/migrate-store.js';
import type { Stores } from '../../server/manager/stores.js';
import { all, asText, lineRows, load, RUNNING, save, uploadSpec } from '../backends/runs.js';
import { newest } from '../backends/suite-copies.js';
import { altered, ThreeStores } from './three-stores.js';
import { TwoStores } from './two-stores.js';

let stores: ThreeStores;

beforeEach(async () => {
  stores = await ThreeStores.open();
});

afterEach(() => stores[Symbol.asyncDispose]());

const DOWN = new StorageError('BACKEND_UNAVAILABLE', 'It is down.');

const between = (among: Stores, start = (): void => undefined): Between => ({
  ...{ stores: among, turns: new KeyTurns() },
  mirroring: { isOn: false, start },
});

const replicate = (prefix = '', among: Stores = stores): Promise<UpToDateProgress[]> =>
  all(bringUpToDate(between(among), prefix, RUNNING));

/** Keys that the secondary has, with their revisions; markers by their kind. */
async function secondaryHas(...keys: string[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const key of keys) {
    const manifest = await newest(stores.secondary, key).catch(() => undefined);
    if (manifest !== undefined) found[key] = `${RevisionKind[manifest.kind]} ${manifest.revision}`;
  }
  return found;
}

const stateOf = async (key: string) => (await newest(stores.primary, key)).replication;

describe('a secondary that is brought up to date', () => {
  test('gets results and deletions under their numbers, and the same again copies nothing', async () => {
    await save(stores.primary, 'a', [lineRows(0, 10)]);
    await save(stores.primary, 'a', [lineRows(0, 50_000)]);
    await save(stores.primary, 'b', [lineRows(0, 10)]);
    await save(stores.primary, 'gone', [lineRows(0, 10)]);
    await stores.primary.delete('gone', undefined, RUNNING);
    const told = await replicate();
    expect(told.at(-1)).toEqual({ key: 'gone', doneCount: 3, totalCount: 3, copiedCount: 3 });
    expect(await secondaryHas('a', 'b', 'gone')).toEqual({ a: 'COMMITTED 2', b: 'COMMITTED 1', gone: 'DELETED 2' });
    const copy = await newest(stores.secondary, 'a');
    expect(asText(await load(stores.secondary, copy))).toEqual(asText(lineRows(0, 50_000)));
    expect((await replicate()).at(-1)).toMatchObject({ doneCount: 3, copiedCount: 0 });
  });

  test('is kept up to date from then on: later changes of the keys are replicated', async () => {
    await save(stores.primary, 'k', [lineRows(0, 10)]);
    await replicate();
    expect(await stateOf('k')).toBe(ReplicationState.DONE);
    await save(stores.primary, 'k', [lineRows(0, 20)]);
    expect(await stateOf('k')).toBe(ReplicationState.PENDING);
  });

  test('gets what was to be replicated and failed, or still waits', async () => {
    for (const [key, state] of [
      ['failed', ReplicationState.FAILED],
      ['pending', ReplicationState.PENDING],
    ] as const) {
      await save(stores.primary, key, [lineRows(0, 10)], { replication: ReplicationMode.ASYNC });
      await stores.primary.setReplication(key, 1n, state, RUNNING);
    }
    await replicate();
    expect(await secondaryHas('failed', 'pending')).toEqual({ failed: 'COMMITTED 1', pending: 'COMMITTED 1' });
    for (const key of ['failed', 'pending']) expect(await stateOf(key)).toBe(ReplicationState.DONE);
  });

  test('gets only the keys that begin so', async () => {
    for (const key of ['a', 'runs/1', 'runs/2']) await save(stores.primary, key, [lineRows(0, 10)]);
    expect((await replicate('runs/')).at(-1)).toMatchObject({ doneCount: 2, copiedCount: 2 });
    expect(await secondaryHas('a', 'runs/1', 'runs/2')).toEqual({ 'runs/1': 'COMMITTED 1', 'runs/2': 'COMMITTED 1' });
    expect(await stateOf('a')).toBe(ReplicationState.NONE);
  });

  test('keeps what was moved there, and gets back what was moved away from it', async () => {
    const source = await save(stores.primary, 'archived', [lineRows(0, 10)]);
    const read = () => stores.primary.read(source, { columns: [0, 1], firstRow: 0, rowCount: 10 }, RUNNING);
    await stores.secondary.copyIn(source, read, { replace: false }, RUNNING);
    await stores.primary.moveOut('archived', 1, RUNNING);
    const back = await save(stores.secondary, 'back', [lineRows(0, 10)]);
    const readBack = () => stores.secondary.read(back, { columns: [0, 1], firstRow: 0, rowCount: 10 }, RUNNING);
    await stores.primary.copyIn(back, readBack, { replace: false }, RUNNING);
    await stores.secondary.moveOut('back', 1, RUNNING);
    await replicate();
    expect(await secondaryHas('archived', 'back')).toEqual({ archived: 'COMMITTED 1', back: 'COMMITTED 1' });
    expect((await newest(stores.primary, 'archived')).kind).toBe(RevisionKind.MOVED);
  });

  test('gets what is changed meanwhile, before its turn', async () => {
    for (const key of ['a', 'b', 'c']) await save(stores.primary, key, [lineRows(0, 10)]);
    let isDone = false;
    const primary = altered(stores.primary, {
      async *read(manifest, selection, signal) {
        yield* stores.primary.read(manifest, selection, signal);
        // Behind all that was there at the start; and a key that is new.
        if (!isDone) await stores.primary.annotate('b', undefined, () => undefined, RUNNING);
        if (!isDone) await save(stores.primary, 'new', []);
        isDone = true;
      },
    });
    await replicate('', { ...stores, primary });
    expect(await secondaryHas('a', 'b', 'c', 'new')).toEqual({
      ...{ a: 'COMMITTED 1', b: 'COMMITTED 2', c: 'COMMITTED 1', new: 'COMMITTED 1' },
    });
  });

  test('tells what can not be copied, and gets the others', async () => {
    for (const key of ['a', 'b', 'c']) await save(stores.primary, key, [lineRows(0, 10)]);
    await save(stores.secondary, 'b', [lineRows(0, 20)]);
    const told = await replicate();
    expect(told.flatMap(({ key, failure }) => (failure ? [[key, failure.reason]] : []))).toEqual([
      ['b', 'REVISION_MISMATCH'],
    ]);
    expect(told.at(-1)).toMatchObject({ doneCount: 3, copiedCount: 2 });
    expect(await stateOf('b')).toBe(ReplicationState.NONE);
  });

  test('is refused where there is none, and ends where a store is down', async () => {
    await save(stores.primary, 'a', [lineRows(0, 10)]);
    await expect(replicate('', { ...stores, secondary: undefined })).rejects.toMatchObject({ reason: 'NO_SECONDARY' });
    const secondary = altered(stores.secondary, { stat: () => Promise.reject(DOWN) });
    await expect(replicate('', { ...stores, secondary })).rejects.toBe(DOWN);
  });
});

describe('a store that is migrated', () => {
  const migrate = (among: Stores = stores, start?: () => void): Promise<StoreMigrationProgress[]> =>
    all(migrateStore(between(among, start), RUNNING));

  test('is in the secondary as a whole; saves in progress are named', async () => {
    await save(stores.primary, 'a', [lineRows(0, 50_000)]);
    await save(stores.primary, 'gone', []);
    await stores.primary.delete('gone', undefined, RUNNING);
    await using upload = await stores.primary.openUpload(uploadSpec('later', 'still-running'), RUNNING);
    await upload.append(lineRows(0, 10));
    const told = await migrate();
    const end = { isComplete: true, failedCount: 0, pendingCount: 0, openUploadIds: ['still-running'] };
    expect(told.at(-1)).toMatchObject({ doneCount: 2, copiedCount: 2, end });
    expect(told.slice(0, -1).every((progress) => progress.end === undefined)).toBe(true);
    expect(await secondaryHas('a', 'gone', 'later')).toEqual({ a: 'COMMITTED 1', gone: 'DELETED 2' });
  });

  test('sends every change to both before it begins to copy', async () => {
    await save(stores.primary, 'a', []);
    let isStarted = false;
    const primary = altered(stores.primary, {
      changes(...call) {
        expect(isStarted).toBe(true);
        return stores.primary.changes(...call);
      },
    });
    await migrate({ ...stores, primary }, () => void (isStarted = true));
    expect(isStarted).toBe(true);
  });

  test('is not begun where there is no secondary', async () => {
    let isStarted = false;
    const migrated = migrate({ ...stores, secondary: undefined }, () => void (isStarted = true));
    await expect(migrated).rejects.toMatchObject({ reason: 'NO_SECONDARY' });
    expect(isStarted).toBe(false);
  });

  test('is not complete where something could not be copied; the same again goes on once that is put right', async () => {
    await save(stores.primary, 'a', [lineRows(0, 10)]);
    await save(stores.primary, 'b', [lineRows(0, 10)]);
    await save(stores.secondary, 'b', [lineRows(0, 20)]);
    expect((await migrate()).at(-1)).toMatchObject({ end: { isComplete: false, failedCount: 1 } });
    await save(stores.primary, 'b', [lineRows(0, 30)]);
    expect((await migrate()).at(-1)).toMatchObject({ copiedCount: 1, end: { isComplete: true, failedCount: 0 } });
    expect(await newest(stores.secondary, 'b')).toMatchObject({ revision: 2n, rowCount: 30n });
  });

  test('is not complete where the primary can not tell what it has under a key', async () => {
    await using two = await TwoStores.make();
    for (const key of ['a', 'b', 'c']) await save(two.primary, key, [lineRows(0, 10)]);
    await two.damageEntry('primary', 'b');
    const told = await migrate(two.stores);
    expect(told.flatMap(({ key, failure }) => (failure ? [[key, failure.reason]] : []))).toEqual([
      ['b', 'RESULT_CORRUPT'],
    ]);
    expect(told.at(-1)).toMatchObject({ copiedCount: 2, end: { isComplete: false, failedCount: 1 } });
  });
});
