import { copyFile, mkdtemp, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { knex } from 'knex';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ListOrder, StorageBackend } from '../../server/backends/backend.js';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { checkWal } from '../../server/backends/database/sqlite-file/wal.js';
import { parseFilter } from '../../server/filter/parse.js';
import { inRole } from '../../server/manager/role-store.js';
import { CircuitBreaker } from '../../server/manager/circuit-breaker.js';
import { flipBit, leafPages, PAGE_BYTES, zeroBytes } from './damage.js';
import { all, asText, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';

const COUNT = 300;

let folder = '';
let number = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'optistore-sqlite-rot-'));
  await fill(join(folder, 'filled.db'));
});
afterAll(() => rm(folder, { recursive: true }));

const openAt = (path: string) => openDatabaseBackend({ connection_string: `sqlite:///${path}` });
const keyOf = (i: number) => `run-${String(i).padStart(3, '0')}`;

async function fill(path: string): Promise<void> {
  await using store = await openAt(path);
  for (let i = 0; i < COUNT; i++)
    await save(store, keyOf(i), [lineRows(0, 5, i)], { tags: { of: keyOf(i) }, description: 'd'.repeat(100) });
  await using upload = await store.openUpload(uploadSpec('open', 'upload'));
  await upload.append(lineRows(0, 7));
  await upload.sync();
}

/** A copy of a store of some results and an upload, closed; gives its path. */
async function filled(): Promise<string> {
  const path = join(folder, `${number++}.db`);
  for (const ending of ['', '-seal']) await copyFile(join(folder, `filled.db${ending}`), `${path}${ending}`);
  return path;
}

async function listed(store: StorageBackend, orderBy: ListOrder) {
  const query = { prefix: '', filter: undefined, orderBy, descending: false };
  const list = inRole('primary', store, new CircuitBreaker('primary')).list(query, RUNNING);
  return { keys: (await all(list)).map(({ key }) => key), isTold: list.unreachable.size > 0 };
}

/** Loads everything; gives how many keys are told to be damaged. All others are right, and in every list. */
async function corruptCount(store: StorageBackend, listedMin = 0): Promise<number> {
  const right: string[] = [];
  for (let i = 0; i < COUNT; i++) {
    const rows = await store
      .stat(keyOf(i), undefined, RUNNING)
      .then((found) => load(store, found))
      .catch((error: unknown) => error);
    if (rows instanceof Error) expect(rows).toMatchObject({ reason: 'RESULT_CORRUPT' });
    else {
      expect(asText(rows as never)).toEqual(asText(lineRows(0, 5, i)));
      right.push(keyOf(i));
    }
  }
  for (const orderBy of ['key', 'commit_time', 'update_time'] as const) {
    const { keys, isTold } = await listed(store, orderBy);
    expect(keys.length).toBeGreaterThanOrEqual(right.length);
    expect(right.filter((key) => !keys.includes(key))).toEqual([]);
    expect(keys.length).toBeGreaterThanOrEqual(listedMin);
    expect(isTold).toBe(keys.length < COUNT);
  }
  return COUNT - right.length;
}

/** Loads everything once. */
async function corrupted(path: string): Promise<void> {
  await using store = await openAt(path);
  await corruptCount(store);
}

const quarantined = (path: string) => readdir(`${path}-quarantine`).catch(() => []);

describe('a SQLite file that is damaged', () => {
  test.each(['results_by_commit_time', 'sqlite_autoindex_results_1', 'results_by_change', 'tags_by_value'])(
    'in the index %s is made anew when it is opened: nothing lacks in a list, and all is as it was',
    async (index) => {
      const path = await filled();
      const leaf = (await leafPages(path, index)).at(-1) ?? 0;
      await flipBit(path, leaf + PAGE_BYTES - 15, 2);
      await using store = await openAt(path);
      expect(await quarantined(path)).toHaveLength(1);
      expect(await corruptCount(store)).toBe(0);
      expect((await store.stats()).failure).toBeUndefined();
      expect((await store.viewUpload('upload')).manifest.rowCount).toBe(7n);
      for (let i = 0; i < COUNT; i += 7) {
        const query = { prefix: '', filter: parseFilter(`tags.of = "${keyOf(i)}"`), orderBy: 'key' as const };
        const found = await all(store.list({ ...query, descending: false }, RUNNING));
        expect(found.map(({ key }) => key)).toEqual([keyOf(i)]);
      }
      expect((await save(store, keyOf(0), [lineRows(0, 2)])).revision).toBe(2n);
    },
  );

  test.each([
    ['results', 0],
    ['results', 1],
    ['results', -1],
    ['blocks', -1],
    ['uploads', -1],
  ])('in page %s, %i gives what is right, and tells what is lost', async (table, at) => {
    const path = await filled();
    const leaf = (await leafPages(path, table)).at(at) ?? -1;
    await zeroBytes(path, leaf, PAGE_BYTES);
    // Rows are not looked at when it is opened, but where they were found to be damaged.
    if (table === 'blocks') await corrupted(path);
    await using store = await openAt(path);
    const count = await corruptCount(store);
    expect(count).toBeLessThan(40);
    if (table === 'uploads')
      await expect(store.viewUpload('upload')).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
    else expect(count).toBeGreaterThan(0);
    expect(await quarantined(path)).toHaveLength(1);
    const { failure = '' } = await store.stats();
    expect(failure).toBe(table === 'results' ? `${count} results can't be read: run \`optistore verify\`.` : '');
    expect((await save(store, 'new', [lineRows(0, 2)])).revision).toBe(1n);
  });

  test('in rows of a result fails the loads of that alone, and is made anew at the next start', async () => {
    const path = await filled();
    for (const leaf of (await leafPages(path, 'blocks')).slice(3, 5)) await zeroBytes(path, leaf, 100);
    {
      await using store = await openAt(path);
      expect(await corruptCount(store)).toBeGreaterThan(0);
      expect(await quarantined(path)).toHaveLength(0);
    }
    await using store = await openAt(path);
    expect(await quarantined(path)).toHaveLength(1);
    expect(await corruptCount(store)).toBeGreaterThan(0);
    expect((await save(store, keyOf(0), [lineRows(0, 2)])).revision).toBe(2n);
  });

  test.each([
    ['empty', (path: string) => truncate(path, 0)],
    ['gone', (path: string) => rm(path)],
    ['damaged in its first bytes', (path: string) => flipBit(path, 3)],
    ['damaged in the size of its pages', (path: string) => flipBit(path, 16)],
    ['damaged in its encoding', (path: string) => flipBit(path, 59, 1)],
    ['damaged in its schema', (path: string) => zeroBytes(path, 100, 12)],
  ])('is refused where it is %s, and nothing of it is changed', async (_, damage) => {
    const path = await filled();
    await damage(path);
    const before = await readFile(path).catch(() => undefined);
    for (let start = 0; start < 2; start++)
      await expect(openAt(path)).rejects.toMatchObject({
        reason: 'RESULT_CORRUPT',
        message: expect.stringMatching(
          /restore it from a backup; or move .* aside, and `optistore verify --repair`/,
        ) as string,
      });
    expect(await readFile(path).catch(() => undefined)).toEqual(before);
  });
});

describe('rows of a SQLite store', () => {
  async function changed(path: string, ...statements: string[]): Promise<void> {
    const database = knex({ client: 'sqlite3', connection: { filename: path }, useNullAsDefault: true });
    for (const statement of statements) await database.raw(statement);
    await database.destroy();
  }

  test('that were swapped are taken for no others: blocks of two results', async () => {
    const path = await filled();
    const swap = (a: number, b: number) => `UPDATE blocks SET segment_id = ${b} WHERE segment_id = ${a}`;
    await changed(path, 'INSERT INTO segments (id) VALUES (9999)', swap(3, 9999), swap(4, 3), swap(9999, 4));
    await using store = await openAt(path);
    expect(await corruptCount(store, COUNT)).toBe(2);
  });

  test('that were swapped are taken for no others: manifests of two results', async () => {
    const path = await filled();
    await changed(
      path,
      'CREATE TEMP TABLE kept AS SELECT key, manifest, crc FROM results ORDER BY key LIMIT 2',
      'UPDATE results SET (manifest, crc) = (SELECT manifest, crc FROM kept WHERE kept.key <> results.key) WHERE key IN (SELECT key FROM kept)',
    );
    await using store = await openAt(path);
    expect(await corruptCount(store)).toBe(2);
  });

  test('in which a bit was flipped, anywhere in what they say, are told', async () => {
    const path = await filled();
    const database = knex({ client: 'sqlite3', connection: { filename: path }, useNullAsDefault: true });
    for (let i = 0; i < COUNT; i++) {
      const row = await database('results')
        .where({ key: keyOf(i) })
        .first<{ manifest: Buffer }>('manifest');
      const at = (i * 7) % row.manifest.byteLength;
      row.manifest[at] = (row.manifest[at] ?? 0) ^ (1 << (i % 8));
      await database('results')
        .where({ key: keyOf(i) })
        .update(row);
    }
    await database.destroy();
    await using store = await openAt(path);
    expect(await corruptCount(store)).toBe(COUNT);
  });

  test('are not removed because of one bit that says so', async () => {
    const path = await filled();
    await changed(path, 'UPDATE segments SET removed = 1');
    await using store = await openAt(path);
    await store.sweep(Date.now() + 1e9);
    expect(await corruptCount(store)).toBe(0);
  });

  test('that count the store are counted anew', async () => {
    const path = await filled();
    await changed(path, 'UPDATE store SET result_count = 1, change_number = 5, size_bytes = -1');
    await using store = await openAt(path);
    const { resultCount, sizeBytes } = await store.stats();
    expect(resultCount).toBe(COUNT);
    expect(sizeBytes).toBeGreaterThan(COUNT * 80);
    expect(Number((await save(store, 'new', [lineRows(0, 1)])).changeNumber)).toBeGreaterThan(COUNT);
  });

  test('of an upload that lacks a block give no result', async () => {
    const path = await filled();
    await changed(
      path,
      "DELETE FROM blocks WHERE segment_id = (SELECT segment_id FROM uploads WHERE upload_id = 'upload')",
    );
    await using store = await openAt(path);
    await expect(store.openUpload(uploadSpec('open', 'upload'))).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
    await store.abortUpload('upload');
    expect((await store.stats()).uploadCount).toBe(0);
  });
});

describe('the log of a SQLite store whose process was killed', () => {
  /** A store as a kill leaves it. */
  async function killed(): Promise<string> {
    const path = join(folder, `${number++}.db`);
    await using store = await openAt(`${path}-whole`);
    for (let i = 0; i < 20; i++) await save(store, keyOf(i), [lineRows(0, 50, i)]);
    for (const ending of ['', '-wal', '-seal']) await copyFile(`${path}-whole${ending}`, `${path}${ending}`);
    return path;
  }

  test('that is damaged before its last commit is put aside, and what is lost is told until someone removes it', async () => {
    const path = await killed();
    await flipBit(`${path}-wal`, 200_000);
    for (let start = 0; start < 2; start++) {
      await using store = await openAt(path);
      expect((await store.stats()).failure).toMatch(/-wal is damaged: what was committed last .* is lost/);
      expect((await save(store, 'new', [lineRows(0, 2)])).rowCount).toBe(2n);
    }
    await rm(`${path}-quarantine`, { recursive: true });
    await using store = await openAt(path);
    expect((await store.stats()).failure).toBeUndefined();
  });

  test('that is gone is told', async () => {
    const path = await killed();
    await rm(`${path}-wal`);
    await using store = await openAt(path);
    expect((await store.stats()).failure).toMatch(/-wal is gone/);
  });

  test('that is whole, or has an unfinished end, is gone on with', async () => {
    const path = await killed();
    const whole = await readFile(`${path}-wal`);
    expect(await checkWal(`${path}-wal`)).toBe('whole');
    await truncate(`${path}-wal`, whole.byteLength - 1000);
    expect(await checkWal(`${path}-wal`)).toBe('whole');
    await using store = await openAt(path);
    expect((await store.stats()).failure).toBeUndefined();
    expect((await listed(store, 'key')).keys.length).toBeGreaterThanOrEqual(19);
  });

  test('is damaged wherever a bit of it is flipped but in its last commit', async () => {
    const path = await killed();
    const { byteLength } = await readFile(`${path}-wal`);
    const states = new Map<number, string>();
    for (let at = 0; at < byteLength; at += 3917) {
      await flipBit(`${path}-wal`, at, 5);
      states.set(at, await checkWal(`${path}-wal`));
      await flipBit(`${path}-wal`, at, 5);
    }
    const whole = [...states].filter(([, state]) => state === 'whole').map(([at]) => at);
    expect(Math.min(...whole)).toBeGreaterThan(byteLength - 25 * PAGE_BYTES);
    expect(whole.length).toBeLessThan(25);
  });
});
