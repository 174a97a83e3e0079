import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { StorageError } from '../../server/errors.js';
import type { Between } from '../../server/manager/migration/between.js';
import { KeyTurns } from '../../server/manager/migration/key-turns.js';
import { migrateResults, type MigrationProgress } from '../../server/manager/migration/migrate-result.js';
import { lineRows, RUNNING, save } from '../backends/runs.js';
import { newest } from '../backends/suite-copies.js';
import { altered, ThreeStores } from './three-stores.js';

let stores: ThreeStores;

beforeEach(async () => {
  stores = await ThreeStores.open();
});

afterEach(() => stores[Symbol.asyncDispose]());

const among = (primary: StorageBackend): Between => ({
  ...{ stores: { ...stores, primary }, turns: new KeyTurns() },
  mirroring: { isOn: false, start: () => undefined },
});

describe('whoever waits for a migration', () => {
  /** The primary, whose rows come only once something was told. */
  function slowPrimary(seen: Promise<void>): StorageBackend {
    return altered(stores.primary, {
      async *read(manifest, selection, signal) {
        for await (const batch of stores.primary.read(manifest, selection, signal)) {
          yield batch;
          await seen;
        }
      },
    });
  }

  test('hears how far it is while it goes on', async () => {
    await save(stores.primary, 'k', [lineRows(0, 70_000), lineRows(70_000, 70_000)]);
    let see = (): void => undefined;
    const primary = slowPrimary(new Promise((resolve) => (see = resolve)));
    const spec = { what: { key: 'k' }, from: 'primary' as const, to: 'secondary' as const, keepSource: false };
    const told: MigrationProgress[] = [];
    for await (const progress of migrateResults(among(primary), spec, RUNNING)) {
      told.push(progress);
      see();
    }
    expect(told.length).toBeGreaterThan(1);
    expect(told[0]).toMatchObject({ key: 'k', rowCount: 140_000, doneCount: 0, totalCount: 1 });
    expect(told[0]?.copy).toBeUndefined();
    expect(told[0]?.copiedRowCount).toBeLessThan(140_000);
  });

  test('stops it by leaving, and leaves the source where it is', async () => {
    await save(stores.primary, 'k', [lineRows(0, 70_000), lineRows(70_000, 70_000)]);
    let reading: AbortSignal | undefined;
    const primary = altered(stores.primary, {
      async *read(manifest, selection, signal) {
        reading = signal;
        for await (const batch of stores.primary.read(manifest, selection, signal)) {
          yield batch;
          // As long as nobody stops it.
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        }
      },
    });
    const spec = { what: { key: 'k' }, from: 'primary' as const, to: 'secondary' as const, keepSource: false };
    for await (const { copy } of migrateResults(among(primary), spec, RUNNING)) {
      expect(copy).toBeUndefined();
      break;
    }
    expect(reading?.aborted).toBe(true);
    expect(await newest(stores.primary, 'k')).toMatchObject({ kind: RevisionKind.COMMITTED });
    await expect(newest(stores.secondary, 'k')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
  });

  test('for a turn of its key, can give up, and lets nobody pass', async () => {
    const turns = new KeyTurns();
    let end = (): void => undefined;
    const first = turns.run('k', RUNNING, () => new Promise<void>((resolve) => (end = resolve)));
    const giving = new AbortController();
    const second = turns.run('k', giving.signal, () => Promise.reject(new Error('it had its turn')));
    let hasThird = false;
    const third = turns.run('k', RUNNING, async () => void (hasThird = true));
    const down = new StorageError('BACKEND_UNAVAILABLE', 'It is down.');
    giving.abort(down);
    await expect(second).rejects.toBe(down);
    expect(hasThird).toBe(false);
    // Other keys are not waited for.
    await turns.run('other', RUNNING, async () => undefined);
    end();
    await Promise.all([first, third]);
  });
});
