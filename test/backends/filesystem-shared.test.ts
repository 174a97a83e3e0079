import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { openFilesystemBackend } from '../../server/backends/filesystem/filesystem-backend.js';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';
import { commit, lineRows, RUNNING, save, uploadSpec } from './runs.js';
import { sharedPromises, type OpenTwo } from './suite-shared.js';

let folder: string;
let number = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'optistore-shared-'));
});
afterAll(() => rm(folder, { recursive: true }));

const freshPath = () => join(folder, `store-${number++}`);

/** Two processes' stores in one folder, which both make at once. */
const two: OpenTwo = async (times = {}) => {
  const base_path = freshPath();
  const [a, b] = await Promise.all([1, 2].map(() => openFilesystemBackend({ base_path, ...times })));
  if (a === undefined || b === undefined) throw new Error('two were opened');
  const close = () => Promise.all([a[Symbol.asyncDispose](), b[Symbol.asyncDispose]()]);
  return { a, b, [Symbol.asyncDispose]: async () => void (await close()) };
};

describe('filesystem: shared', () => sharedPromises(two));

describe('filesystem: an upload that goes from one process to another', () => {
  test('again and again has each row once, from whichever it came', async () => {
    await using stores = await two();
    let expected = 0;
    for (let turn = 0; turn < 8; turn++) {
      await using upload = await (turn % 2 === 0 ? stores.a : stores.b).openUpload(uploadSpec('k', 'u'), RUNNING);
      expect(upload.nextRow).toBe(expected);
      const rows = [3, 70_000, 1, 500][turn % 4] ?? 1;
      await upload.append(lineRows(expected, rows));
      expected = turn % 3 === 2 ? await upload.sync() : expected + rows;
    }
    await using upload = await stores.a.openUpload(uploadSpec('k', 'u'), RUNNING);
    const manifest = await commit(upload);
    expect(manifest.columns).toEqual((await save(stores.b, 'l', [lineRows(0, expected)])).columns);
  });

  test('is a result once, whoever commits it first', async () => {
    await using stores = await two();
    for (let round = 0; round < 10; round++) {
      const key = `k${round}`;
      await using first = await stores.a.openUpload(uploadSpec(key, key), RUNNING);
      await first.append(lineRows(0, 5));
      await first.sync();
      const [committed, opened] = await Promise.allSettled([
        commit(first),
        stores.b.openUpload(uploadSpec(key, key), RUNNING),
      ]);
      if (opened.status === 'rejected') throw opened.reason;
      await using second = opened.value;
      if (committed.status === 'fulfilled') expect(second.committed?.revision).toBe(1n);
      else expect(committed.reason).toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
      expect((await commit(second)).revision).toBe(1n);
      expect((await stores.a.stat(key, undefined, RUNNING)).revision).toBe(1n);
    }
  });

  test('and is aborted or committed at once, ends one way for both', async () => {
    await using stores = await two();
    for (let round = 0; round < 10; round++) {
      const key = `k${round}`;
      await using upload = await stores.a.openUpload(uploadSpec(key, key), RUNNING);
      await upload.append(lineRows(0, 5));
      await upload.sync();
      const [committed, aborted] = await Promise.allSettled([commit(upload), stores.b.abortUpload(key, RUNNING)]);
      expect([committed.status, aborted.status].sort()).toEqual(['fulfilled', 'rejected']);
      const stat = stores.b.stat(key, undefined, RUNNING);
      if (committed.status === 'fulfilled') expect((await stat).rowCount).toBe(5n);
      else await expect(stat).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    }
  });
});

describe('filesystem: two daemons', () => {
  /** Saves one row under a key; the revision that it got, or why it got none. */
  async function saveOne(client: OptistoreClient, key: string, x: number, expectedRevision?: bigint) {
    try {
      const writer = await client.save(key, PROBLEM, expectedRevision === undefined ? {} : { expectedRevision });
      await writer.append({ x: [x], label: [String(x)] });
      return { x, revision: (await writer.commit()).revision };
    } catch (error) {
      return { x, reason: (error as { reason?: string }).reason };
    }
  }

  test('that commit to the same keys at once give each commit a revision of its own, and lose none', async () => {
    const base_path = freshPath();
    const settings = { primary: { type: 'filesystem', base_path } };
    await using first = await TestDaemon.startWith(settings);
    await using second = await TestDaemon.startWith(settings);
    const clients = [first, second].map(({ address }) => createClient({ address }));
    const saves = Array.from({ length: 40 }, (_, i) =>
      saveOne(clients[i % 2] as OptistoreClient, `shared/${(i >> 1) % 2}`, i, i % 8 < 6 ? undefined : 0n),
    );
    const outcomes = await Promise.all(saves);
    for (const key of ['shared/0', 'shared/1']) {
      const own = outcomes.filter((_, i) => `shared/${(i >> 1) % 2}` === key);
      const saved = own.filter((outcome) => outcome.revision !== undefined);
      for (const { reason, revision } of own) if (revision === undefined) expect(reason).toBe('REVISION_MISMATCH');
      const revisions = saved.map(({ revision }) => Number(revision)).sort((a, b) => a - b);
      expect(revisions).toEqual(Array.from({ length: saved.length }, (_, i) => i + 1));
      for (const { x, revision } of saved)
        for (const client of clients) {
          const { columns } = await client.load(key, { revision: revision }).toColumns();
          expect([...(columns['x']?.values ?? [])]).toEqual([x]);
        }
    }
    for (const client of clients) client.close();
    await using after = await openFilesystemBackend({ base_path });
    // Whose commit was refused stays open: its rows were acked.
    const refusedCount = outcomes.filter(({ revision }) => revision === undefined).length;
    expect(refusedCount).toBeGreaterThan(0);
    expect(await after.stats()).toMatchObject({ failure: undefined, resultCount: 2, uploadCount: refusedCount });
    expect(await readdir(join(base_path, 'temporary'))).toEqual([]);
  });

  test('hand an upload over: who goes on has every row that the other one acked, also after SIGKILL', async () => {
    const settings = { primary: { type: 'filesystem', base_path: freshPath() } };
    await using first = await TestDaemon.startWith(settings);
    await using second = await TestDaemon.startWith(settings);
    const rows = (from: number) => ({ x: [from, from + 1], label: ['a', 'b'] });
    const before = createClient({ address: first.address });
    const writer = await before.save('handed/over', PROBLEM, { uploadId: 'u' });
    await writer.append(rows(0));
    await writer.flush();
    await first.process.stop('SIGKILL');
    before.close();
    const after = createClient({ address: second.address });
    const next = await after.save('handed/over', PROBLEM, { uploadId: 'u' });
    expect(next.nextRow).toBe(2);
    await next.append(rows(2));
    expect((await next.commit()).rowCount).toBe(4n);
    const { columns } = await after.load('handed/over').toColumns();
    expect([...(columns['x']?.values ?? [])]).toEqual([0, 1, 2, 3]);
    after.close();
  });
});
