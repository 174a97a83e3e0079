import { describe, expect, test } from 'vitest';
import { ReplicationMode, ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import { parseFilter } from '../../server/filter/parse.js';
import { composed } from '../../server/manager/compose.js';
import type { Stores } from '../../server/manager/stores.js';
import { newest } from '../backends/suite-copies.js';
import { all, asText, lineRows, load, RUNNING, save } from '../backends/runs.js';
import { MANY, TwoStores } from './two-stores.js';

const REPAIR = { repair: true };

describe('an entry of a store that does not check', () => {
  test('hides no other from lists in any order, which name its store; the secondary shows what it has', async () => {
    await using two = await TwoStores.make();
    for (const key of ['a', 'b', 'c']) await two.saveToBoth(key, 3);
    await save(two.primary, 'd', [lineRows(0, 3)]);
    await two.damageEntry('primary', 'b');
    await two.damageEntry('secondary', 'c');
    for (const orderBy of ['key', 'commit_time', 'update_time'] as const)
      for (const filter of [undefined, parseFilter('problem = line')])
        for (const descending of [false, true]) {
          const query = { prefix: '', filter, orderBy, descending };
          const listed = async (stores: Stores) => {
            const list = composed(stores, undefined, ReplicationMode.NONE).store.list(query, RUNNING);
            const keys = (await all(list)).map(({ key }) => key);
            return [(descending ? keys.reverse() : keys).join(''), [...list.unreachable].sort()];
          };
          expect(await listed({ ...two.stores, secondary: undefined })).toEqual(['acd', ['primary']]);
          expect(await listed(two.stores)).toEqual(['abcd', ['primary', 'secondary']]);
        }
    // And a load is answered by the secondary.
    const { store } = composed(two.stores, undefined, ReplicationMode.NONE);
    const b = await store.stat('b', undefined, RUNNING);
    expect(asText(await load(store, b))).toEqual(asText(lineRows(0, 3)));
  });

  test.each(['primary', 'secondary'] as const)('of the %s is told, and hides no other', async (role) => {
    await using two = await TwoStores.make();
    for (const key of ['a', 'b', 'c']) await two.saveToBoth(key, key === 'b' ? MANY : 3);
    await two.damageEntry(role, 'b');
    const told = await two.verify({ role });
    expect(told.map(({ key, state }) => `${key} ${state}`)).toEqual(['a ok', 'b corrupt', 'c ok']);
    expect(told[1]?.message).toMatch(/entry of "b" does not check/);
    // Its rows are kept, and all else goes on.
    expect(await all(two[role].changes({ after: 0n }, RUNNING))).toHaveLength(2);
    await expect(newest(two[role], 'b')).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
    await two[role].sweep(Date.now() + 1000);
    await two.expectAlone(role === 'primary' ? 'secondary' : 'primary', 'b');
  });

  test.each(['primary', 'secondary'] as const)(
    'of the %s is replaced by the other copy, and takes saves',
    async (role) => {
      await using two = await TwoStores.make();
      for (const key of ['a', 'b', 'c']) await two.saveToBoth(key, key === 'b' ? MANY : 3);
      await two.damageEntry(role, 'b');
      const told = await two.verify({ role, ...REPAIR });
      expect(told.map(({ key, state }) => `${key} ${state}`)).toEqual(['a ok', 'b repaired', 'c ok']);
      expect(told[1]).toMatchObject({ revision: 1n });
      expect(told[1]?.message.includes('may have been newer')).toBe(role === 'primary');
      expect(await two.told()).toEqual(['a', 'b', 'c'].flatMap((key) => [`${key} primary ok`, `${key} secondary ok`]));
      await two.expectAlone(role, 'b');
      expect(await newest(two.primary, 'b')).toMatchObject({ revision: 1n, replication: ReplicationState.DONE });
      await two.saveToBoth('b', 5);
      expect(await newest(two.secondary, 'b')).toMatchObject({ revision: 2n, rowCount: 5n });
    },
  );

  test('of the primary stays where nobody asked for its repair: it may have been newer', async () => {
    await using two = await TwoStores.make();
    for (const key of ['p', 's']) await two.saveToBoth(key, 3);
    await two.damageEntry('primary', 'p');
    await two.damageEntry('secondary', 's');
    const told = await two.told({ ...REPAIR, isUnattended: true });
    expect(told).toEqual(['p primary corrupt', 'p secondary ok', 's primary ok', 's secondary repaired']);
  });

  test('of a database stays where its columns tell of a newer revision than the other copy', async () => {
    await using two = await TwoStores.make();
    await save(two.secondary, 'k', [lineRows(0, 3)]);
    await save(two.secondary, 'k', [lineRows(0, 3, 2)]);
    await save(two.primary, 'k', [lineRows(0, 3, 3)]);
    await two.damageEntry('secondary', 'k');
    const [, copy] = await two.verify(REPAIR);
    expect(copy).toMatchObject({ role: 'secondary', state: 'corrupt' });
    expect(copy?.message).toMatch(/could not be replaced .*revision 2/);
  });

  test('of the primary is not replaced by the marker of a deletion', async () => {
    await using two = await TwoStores.make();
    await two.saveToBoth('k', 3);
    await two.primary.delete('k', undefined);
    await two.replicate('k');
    await save(two.primary, 'k', [lineRows(0, 9)]);
    await two.damageEntry('primary', 'k');
    const [copy] = await two.verify({ role: 'primary', ...REPAIR });
    expect(copy).toMatchObject({ state: 'corrupt' });
    expect(copy?.message).toMatch(/secondary has only the marker of its deletion at revision 2/);
  });
});
