import { describe, expect, test } from 'vitest';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationMode, ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { verifyResults } from '../../server/manager/verification/verify-results.js';
import { KEEP, newest, rowsOf } from '../backends/suite-copies.js';
import { all, asText, lineRows, load, RUNNING, save } from '../backends/runs.js';
import { MANY, TwoStores, unreachable } from './two-stores.js';

const REPAIR = { repair: true };
const EVERYTHING = { prefix: '', role: undefined, repair: false };

describe('a verification', () => {
  test('tells of every copy in both stores, in order of key, and of those that were asked for alone', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('b');
    await two.saveToBoth('c', 3);
    await save(two.primary, 'a', [lineRows(0, 3)]);
    await save(two.primary, 'é', []);
    expect(await two.told()).toEqual([
      ...['a primary ok', 'b primary ok', 'b secondary ok', 'c primary ok', 'c secondary ok', 'é primary ok'],
    ]);
    expect(await two.told({ prefix: 'b' })).toEqual(['b primary ok', 'b secondary ok']);
    expect(await two.told({ role: 'secondary' })).toEqual(['b secondary ok', 'c secondary ok']);
    const [b] = await two.verify({ prefix: 'b', role: 'primary' });
    expect(b).toEqual({ key: 'b', role: 'primary', revision: 1n, state: 'ok', message: '', byteLength: MANY * 16 });
  });

  test('of more keys than are held in memory tells of each once, in order', async () => {
    await using primary = new MemoryBackend({ max_memory_mb: 64 });
    await using secondary = new MemoryBackend({ max_memory_mb: 64 });
    const keys = Array.from({ length: 1203 }, (_, i) => `run-${String(i).padStart(5, '0')}`);
    // Every third only in the secondary, every other one in both, the rest only in the primary.
    for (const [i, key] of keys.entries()) {
      const saved = await save(i % 3 === 0 ? secondary : primary, key, []);
      if (i % 3 !== 0 && i % 2 === 0) await secondary.copyIn(saved, rowsOf(primary, saved), KEEP, RUNNING);
    }
    const told = await all(verifyResults({ primary, secondary, pinned: primary }, EVERYTHING, RUNNING));
    const wanted = keys.flatMap((key, i) => {
      if (i % 3 === 0) return [`${key} primary missing`, `${key} secondary ok`];
      return i % 2 === 0 ? [`${key} primary ok`, `${key} secondary ok`] : [`${key} primary ok`];
    });
    expect(told.map(({ key, role, state }) => `${key} ${role} ${state}`)).toEqual(wanted);
  });

  test('leaves out what is deleted while it runs', async () => {
    await using two = await TwoStores.make();
    for (const key of ['a', 'b', 'c']) await save(two.primary, key, [lineRows(0, 3)]);
    const told: string[] = [];
    for await (const { key, state } of verifyResults(two.stores, EVERYTHING, RUNNING)) {
      told.push(`${key} ${state}`);
      if (key === 'a') await two.primary.delete('b', undefined);
    }
    expect(told).toEqual(['a ok', 'c ok']);
  });

  test('of a store that can not be reached ends with its error', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k', 3);
    const secondary = unreachable(two.secondary);
    const verifying = all(verifyResults({ ...two.stores, secondary }, { ...EVERYTHING, repair: true }, RUNNING));
    await expect(verifying).rejects.toMatchObject({ reason: 'BACKEND_UNAVAILABLE' });
  });

  test('of a secondary that is not there is refused; the primary alone is verified without one', async () => {
    await using two = await TwoStores.make();
    await save(two.primary, 'k', [lineRows(0, MANY)]);
    await two.flipInPrimary('k');
    const stores = { ...two.stores, secondary: undefined };
    const asked = all(verifyResults(stores, { ...EVERYTHING, role: 'secondary' }, RUNNING));
    await expect(asked).rejects.toMatchObject({ reason: 'NO_SECONDARY' });
    const [k] = await all(verifyResults(stores, { ...EVERYTHING, repair: true }, RUNNING));
    expect(k).toMatchObject({ state: 'corrupt' });
    expect(k?.message).toMatch(/no other store.*backup/i);
  });

  test('that is cancelled ends at once', async () => {
    await using two = await TwoStores.make();
    for (const key of ['a', 'b']) await save(two.primary, key, [lineRows(0, 3)]);
    const stopping = new AbortController();
    const told: string[] = [];
    const verifying = async () => {
      for await (const { key } of verifyResults(two.stores, EVERYTHING, stopping.signal)) {
        told.push(key);
        stopping.abort();
      }
    };
    await expect(verifying()).rejects.toMatchObject({ reason: 'CANCELLED' });
    expect(told).toEqual(['a']);
  });
});

describe('a corrupt copy', () => {
  test('of the primary is told, healed from the secondary, and right by itself', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k');
    await two.saveToBoth('other', 3);
    await two.flipInPrimary('k');
    const others = ['other primary ok', 'other secondary ok'];
    expect(await two.told()).toEqual(['k primary corrupt', 'k secondary ok', ...others]);
    expect(await two.told({ role: 'secondary' })).toEqual(['k secondary ok', 'other secondary ok']);
    const [healed] = await two.verify({ prefix: 'k', ...REPAIR });
    expect(healed).toMatchObject({ state: 'repaired', revision: 1n });
    expect(healed?.message).toMatch(/^Was corrupt: .*checksum.* replaced by the secondary's\.$/);
    expect(await two.told()).toEqual(['k primary ok', 'k secondary ok', ...others]);
    expect((await newest(two.primary, 'k')).replication).toBe(ReplicationState.DONE);
    await two.primary.sweep(Date.now() + 1000);
    await two.expectAlone('primary', 'k');
  });

  test('of the secondary is told, healed from the primary, and right by itself', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k');
    await two.flipInSecondary('k');
    expect(await two.told()).toEqual(['k primary ok', 'k secondary corrupt']);
    expect(await two.told({ role: 'primary', ...REPAIR })).toEqual(['k primary ok']);
    expect(await two.told({ role: 'secondary', ...REPAIR })).toEqual(['k secondary repaired']);
    expect(await two.told()).toEqual(['k primary ok', 'k secondary ok']);
    await two.secondary.sweep(Date.now() + 1000);
    await two.expectAlone('secondary', 'k');
  });

  test('whose file is lost is healed, and its remains are cleared away', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k');
    await two.loseInPrimary('k');
    expect((await two.verify({ role: 'primary' }))[0]).toMatchObject({
      state: 'corrupt',
      message: expect.stringMatching(/rows .* are gone/) as string,
    });
    expect(await two.told(REPAIR)).toEqual(['k primary repaired', 'k secondary ok']);
    await two.primary.sweep(Date.now() + 1000);
    expect(await two.primary.stats()).toMatchObject({ resultCount: 1 });
    await two.expectAlone('primary', 'k');
  });

  test('of which the other one is corrupt too stays as it is, says why, and loses nothing more', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k');
    await two.flipInPrimary('k');
    await two.flipInSecondary('k');
    const before = [await newest(two.primary, 'k'), await newest(two.secondary, 'k')];
    for (const role of [undefined, 'primary', 'secondary'] as const) {
      const told = await two.verify({ role, ...REPAIR });
      expect(told.map(({ state }) => state)).toEqual(role === undefined ? ['corrupt', 'corrupt'] : ['corrupt']);
      for (const { message } of told)
        expect(message).toMatch(/(corrupt too|can't be read whole either): restore .*backup/);
    }
    expect([await newest(two.primary, 'k'), await newest(two.secondary, 'k')]).toEqual(before);
    // The column that is whole is still read from both.
    for (const store of [two.primary, two.secondary]) {
      const whole = lineRows(0, MANY);
      const f = { ...whole, columns: whole.columns.slice(1) };
      expect(asText(await load(store, await newest(store, 'k'), { columns: [1] }))).toEqual(asText(f));
    }
  });

  test('whose metadata was changed since takes its rows from the older copy, and still waits for its replication', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k');
    await two.primary.annotate('k', undefined, (manifest) => void (manifest.tags['new'] = 'x'));
    await two.flipInPrimary('k');
    expect(await two.told(REPAIR)).toEqual(['k primary repaired', 'k secondary ok']);
    expect(await newest(two.primary, 'k')).toMatchObject({
      ...{ revision: 2n, tags: { new: 'x' }, replication: ReplicationState.PENDING },
    });
    await two.expectAlone('primary', 'k');
  });

  test('of which the other store has only older rows stays, and says which revision is there', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k');
    await save(two.primary, 'k', [lineRows(0, MANY, 2)]);
    await two.flipInPrimary('k');
    const [k] = await two.verify(REPAIR);
    expect(k).toMatchObject({ role: 'primary', state: 'corrupt', revision: 2n });
    expect(k?.message).toMatch(/The secondary has revision 1 of it: restore/);
    expect((await newest(two.primary, 'k')).revision).toBe(2n);
  });

  test('that lags behind is brought up to date', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k');
    await save(two.primary, 'k', [lineRows(0, MANY, 2)]);
    await two.flipInSecondary('k');
    expect(await two.told(REPAIR)).toEqual(['k primary ok', 'k secondary repaired']);
    expect((await newest(two.primary, 'k')).replication).toBe(ReplicationState.DONE);
    await two.expectAlone('secondary', 'k', MANY, 2);
  });

  test('is not replaced by the marker of a deletion', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k');
    await two.primary.delete('k', undefined);
    await two.flipInSecondary('k');
    const [k] = await two.verify(REPAIR);
    expect(k).toMatchObject({ role: 'secondary', state: 'corrupt' });
    expect(k?.message).toMatch(/The primary has only the marker of its deletion/);
    expect(await newest(two.secondary, 'k')).toMatchObject({ kind: RevisionKind.COMMITTED, revision: 1n });
  });
});

describe('a missing copy', () => {
  test('of a primary that was lost comes back, with the markers of deletions, and the next save goes on behind it', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('a');
    await two.saveToBoth('b', 3);
    await two.saveToBoth('gone', 3);
    await two.primary.delete('gone', undefined);
    await two.replicate('gone');
    await two.empty('primary');
    expect(await two.told({ role: 'primary' })).toEqual([
      'a primary missing',
      'b primary missing',
      'gone primary missing',
    ]);
    expect(await two.told(REPAIR)).toEqual([
      ...['a primary repaired', 'a secondary ok', 'b primary repaired', 'b secondary ok', 'gone primary repaired'],
    ]);
    expect(await two.told()).toEqual(['a primary ok', 'a secondary ok', 'b primary ok', 'b secondary ok']);
    const marker = { kind: RevisionKind.DELETED, revision: 2n, replication: ReplicationState.DONE };
    expect(await newest(two.primary, 'gone')).toMatchObject(marker);
    expect((await newest(two.primary, 'a')).replication).toBe(ReplicationState.DONE);
    await two.expectAlone('primary', 'a');
    expect((await save(two.primary, 'gone', [])).revision).toBe(3n);
  });

  test('of a secondary that was lost comes back, where it was replicated', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('a');
    await two.saveToBoth('gone', 3);
    await two.primary.delete('gone', undefined);
    await two.replicate('gone');
    await save(two.primary, 'own', [lineRows(0, 3)]);
    await save(two.primary, 'waits', [lineRows(0, 3)], { replication: ReplicationMode.ASYNC });
    await two.empty('secondary');
    const others = ['own primary ok', 'waits primary ok'];
    expect(await two.told()).toEqual(['a primary ok', 'a secondary missing', ...others, 'gone secondary missing']);
    expect(await two.told(REPAIR)).toEqual([
      'a primary ok',
      'a secondary repaired',
      ...others,
      'gone secondary repaired',
    ]);
    expect(await two.told()).toEqual(['a primary ok', 'a secondary ok', ...others]);
    expect((await newest(two.secondary, 'gone')).kind).toBe(RevisionKind.DELETED);
    await two.expectAlone('secondary', 'a');
  });

  test('is one that is older than what was replicated, or lacks its deletion', async () => {
    await using two = await TwoStores.make();
    for (const key of ['changed', 'deleted']) await two.saveToBoth(key);
    await save(two.primary, 'changed', [lineRows(0, MANY, 2)]);
    await two.primary.delete('deleted', undefined);
    // The secondary was restored from a backup that is older than these.
    for (const key of ['changed', 'deleted']) await two.primary.setReplication(key, 2n, ReplicationState.DONE);
    const [, changed, deleted] = await two.verify();
    expect(changed).toMatchObject({ key: 'changed', role: 'secondary', state: 'missing', revision: 2n });
    expect(changed?.message).toMatch(
      /^Revision 2, which was replicated, is not in the secondary: it has revision 1 of it\.$/,
    );
    expect(deleted).toMatchObject({ key: 'deleted', role: 'secondary', state: 'missing' });
    expect(await two.told(REPAIR)).toEqual([
      ...['changed primary ok', 'changed secondary repaired', 'deleted secondary repaired'],
    ]);
    expect((await newest(two.secondary, 'deleted')).kind).toBe(RevisionKind.DELETED);
    await two.expectAlone('secondary', 'changed', MANY, 2);
  });

  test('of which the other one is corrupt stays missing, and nothing of it becomes visible', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k');
    await two.flipInSecondary('k');
    await two.empty('primary');
    expect(await two.told(REPAIR)).toEqual(['k primary missing', 'k secondary corrupt']);
    expect(await two.told({ role: 'primary', ...REPAIR })).toEqual(['k primary missing']);
    await expect(newest(two.primary, 'k')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
  });

  test('is not one that two stores have changed without each other; neither is replaced', async () => {
    await using two = await TwoStores.make();
    await save(two.secondary, 'k', [lineRows(0, 3, 7)]);
    await save(two.primary, 'k', [lineRows(0, 3)], { replication: ReplicationMode.ASYNC });
    await two.primary.setReplication('k', 1n, ReplicationState.DONE);
    const [own, other] = await two.verify(REPAIR);
    expect([own?.state, other?.state]).toEqual(['ok', 'missing']);
    expect(other?.message).toMatch(/another revision of that number.* changed without each other.* delete/);
    expect(asText(await load(two.secondary, await newest(two.secondary, 'k')))).toEqual(asText(lineRows(0, 3, 7)));
  });
});

describe('what is absent on purpose', () => {
  test('does not come back: deleted in the primary, which the secondary does not know yet', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k');
    await two.primary.delete('k', undefined);
    expect(await two.told(REPAIR)).toEqual(['k secondary ok']);
    expect(await newest(two.primary, 'k')).toMatchObject({ kind: RevisionKind.DELETED, revision: 2n });
  });

  test.each(['primary', 'secondary'] as const)('is not copied back: moved out of the %s', async (role) => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k');
    await (two[role] as StorageBackend).moveOut('k', 1, RUNNING);
    const other = role === 'primary' ? 'secondary' : 'primary';
    expect(await two.told(REPAIR)).toEqual([`k ${other} ok`]);
    expect(await newest(two[role], 'k')).toMatchObject({ kind: RevisionKind.MOVED });
  });
});
