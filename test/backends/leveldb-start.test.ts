import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { Level } from 'level';
import { describe, expect, test, vi } from 'vitest';
import { openLeveldbBackend, type LeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { unsealStore } from '../../server/backends/leveldb/mend-index.js';
import { parseFilter } from '../../server/filter/parse.js';
import { all, lineRows, RUNNING, save } from './runs.js';
import { CrashFolders } from './suite-crash.js';

const folders = new CrashFolders({
  open: (path) => openLeveldbBackend({ path }),
  ackedFile: (path) => Promise.resolve(path),
  afterKill: (path) => rm(join(path, 'index', 'LOCK'), { force: true }),
});
const KEYS = ['a', 'b', 'c'];
const WAIT = { timeout: 10_000 };

/** Keys that pass a filter, in order. */
async function keysOf(backend: LeveldbBackend, filter: string): Promise<string[]> {
  const query = { prefix: '', filter: parseFilter(filter), orderBy: 'key', descending: false } as const;
  return (await all(backend.list(query, RUNNING))).map(({ key }) => key);
}

/** What a store says that it has is what it has. */
async function expectCounted(backend: LeveldbBackend): Promise<void> {
  const manifests = await all(
    backend.list({ prefix: '', filter: undefined, orderBy: 'key', descending: false }, RUNNING),
  );
  expect(await backend.stats()).toMatchObject({
    failure: undefined,
    resultCount: manifests.length,
    sizeBytes: manifests.reduce((sum, { sizeBytes }) => sum + Number(sizeBytes), 0),
    pendingCount: 0,
  });
}

/** Waits until a store has looked through what it has: it ends with files that are nobody's. */
async function untilLookedThrough(path: string): Promise<void> {
  const names = () => readdir(join(path, 'segments'));
  await vi.waitFor(async () => expect(await names()).not.toContain('0000000000.seg'), WAIT);
}

describe('a start', () => {
  test('knows the counts of all that was committed before a kill, whatever was done at once', async () => {
    const anyAct = fc.record({
      key: fc.constantFrom(...KEYS),
      rows: fc.constantFrom(0, 3, 5000),
      isSave: fc.boolean(),
    });
    const property = fc.asyncProperty(
      fc.array(fc.array(anyAct, { maxLength: 6 }), { maxLength: 4 }),
      async (rounds) => {
        const path = folders.fresh();
        await using backend = await openLeveldbBackend({ path });
        for (const acts of rounds) {
          const act = async ({ key, rows, isSave }: (typeof acts)[number]) => {
            if (isSave) await save(backend, key, [lineRows(0, rows)]);
            else await backend.delete(key, undefined).catch(() => undefined);
          };
          await Promise.all(acts.map(act));
          await expectCounted(backend);
          await folders.within(await folders.crashed(path), expectCounted);
        }
      },
    );
    await fc.assert(property, { numRuns: 15 });
  });

  test('counts anew what another version has changed, which did not keep the counts', async () => {
    const path = folders.fresh();
    await folders.within(path, async (backend) => {
      for (const key of KEYS) await save(backend, key, [lineRows(0, 3)]);
    });
    const counts = 'meta\0totals';
    const old = await within(path, (level) => level.get(counts));
    await folders.within(path, (backend) => backend.delete('a', undefined));
    for (const value of [old, undefined, Buffer.from('not a count')]) {
      await within(path, (level) => (value === undefined ? level.del(counts) : level.put(counts, value)));
      await folders.within(path, expectCounted);
    }
  });

  test('answers filters before and behind its look at what is stored, with what changes meanwhile', async () => {
    const path = folders.fresh();
    await folders.within(path, async (backend) => {
      for (const key of ['kept', 'deleted', 'changed']) await save(backend, key, [], { tags: { team: 'wing' } });
    });
    await writeFile(join(path, 'segments', '0000000000.seg'), 'left over');
    await folders.within(path, async (backend) => {
      expect(await keysOf(backend, 'tags.team = wing')).toEqual(['changed', 'deleted', 'kept']);
      await backend.delete('deleted', undefined);
      await save(backend, 'changed', [], { tags: { team: 'tail' } });
      await save(backend, 'new', [lineRows(0, 70_000)], { tags: { team: 'wing' } });
      expect(await keysOf(backend, 'tags.team = wing')).toEqual(['kept', 'new']);
      await untilLookedThrough(path);
      expect(await keysOf(backend, 'tags.team = wing')).toEqual(['kept', 'new']);
      expect(await keysOf(backend, 'tags.team = tail')).toEqual(['changed']);
      // The rows of what was saved since are nobody else's.
      expect(await readdir(join(path, 'segments'))).toHaveLength(1);
    });
  });

  test('tells of an entry that does not check, once it has looked at it', async () => {
    const path = folders.fresh();
    await folders.within(path, async (backend) => {
      for (const key of KEYS) await save(backend, key, [lineRows(0, 3)]);
    });
    await within(path, (level) => level.put('current\0b', Buffer.from('damaged')));
    await folders.within(path, async (backend) => {
      const toldOf = expect.stringContaining("1 results can't be read") as string;
      await vi.waitFor(async () => expect(await backend.stats()).toMatchObject({ failure: toldOf }), WAIT);
      await expect(keysOf(backend, 'row_count = 3')).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
    });
  });
});

/** Acts on the index of a closed store. */
async function within<T>(path: string, act: (level: Level<string, Uint8Array>) => Promise<T>): Promise<T> {
  const level = new Level<string, Uint8Array>(join(path, 'index'), { valueEncoding: 'view' });
  await level.open();
  try {
    return await act(level);
  } finally {
    await level.close();
    // Its files are not as they were when it was closed.
    await unsealStore(path, false);
  }
}
