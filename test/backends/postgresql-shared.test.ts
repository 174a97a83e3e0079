import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import type { ListQuery } from '../../server/backends/backend.js';
import { schemaOf } from '../../server/rows/batch.js';
import { gatherBatches } from '../../server/rows/gather.js';
import { PostgresServer } from './postgres.js';
import { all, asText, commit, LINE, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await PostgresServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

/** Two daemons' stores on one empty database, which both make at once. */
async function two(times: { upload_ttl_ms?: number; revision_retention_ms?: number } = {}) {
  const connection_string = await server.createDatabase();
  const open = () => openDatabaseBackend({ connection_string, ...times });
  const [a, b] = await Promise.all([open(), open()]);
  const close = () => Promise.all([a[Symbol.asyncDispose](), b[Symbol.asyncDispose]()]);
  return { a, b, [Symbol.asyncDispose]: async () => void (await close()) };
}

const everything: ListQuery = { prefix: '', filter: undefined, orderBy: 'key', descending: false };

test('what one daemon saves, annotates and deletes, the other loads, lists and misses', async () => {
  await using daemons = await two();
  const { a, b } = daemons;
  expect(a.capabilities).toEqual({ durable: true, shared: true });
  await save(a, 'k', [lineRows(0, 100_000)], { tags: { from: 'a' } });
  await save(a, 'l', [lineRows(0, 3)]);
  expect(asText(await load(b, await b.stat('k')))).toEqual(asText(lineRows(0, 100_000)));
  await b.annotate('k', 1, (manifest) => void (manifest.tags['seen'] = 'b'));
  expect((await a.stat('k')).tags).toEqual({ from: 'a', seen: 'b' });
  await b.delete('l', 1);
  expect((await all(a.list(everything, RUNNING))).map(({ key }) => key)).toEqual(['k']);
  expect(await a.stats()).toEqual(await b.stats());
});

test('an upload that another daemon takes over goes on there from its durable rows; the first one writes nothing more', async () => {
  await using daemons = await two();
  await using first = await daemons.a.openUpload(uploadSpec('k', 'u'));
  await first.append(lineRows(0, 10));
  expect(await first.sync()).toBe(10);
  await first.append(lineRows(10, 5, -1));
  await using second = await daemons.b.openUpload(uploadSpec('k', 'u'));
  expect(second.nextRow).toBe(10);
  await expect(first.sync()).rejects.toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
  expect(first.lost.reason).toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
  await expect(commit(first, 15)).rejects.toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
  await second.append(lineRows(10, 10));
  expect(asText(await load(daemons.a, await commit(second)))).toEqual(asText(lineRows(0, 20)));
  await using again = await daemons.a.openUpload(uploadSpec('k', 'u'));
  expect(again.committed?.rowCount).toBe(20n);
});

test('a daemon that has nothing to write learns that its upload was taken over, or aborted, when it renews its hold', async () => {
  await using daemons = await two();
  await using taken = await daemons.a.openUpload(uploadSpec('k', 'taken'));
  await using aborted = await daemons.a.openUpload(uploadSpec('k', 'aborted'));
  await using kept = await daemons.a.openUpload(uploadSpec('k', 'kept'));
  await using second = await daemons.b.openUpload(uploadSpec('k', 'taken'));
  await daemons.b.abortUpload('aborted');
  await daemons.a.renewHolds();
  expect(taken.lost.reason).toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
  expect(aborted.lost.reason).toMatchObject({ reason: 'UPLOAD_ABORTED' });
  expect([kept.lost.aborted, second.lost.aborted]).toEqual([false, false]);
});

test('an upload that one daemon has open is listed by the other, and does not expire there', async () => {
  await using daemons = await two({ upload_ttl_ms: 1 });
  await using held = await daemons.a.openUpload(uploadSpec('k', 'held'));
  await held.append(lineRows(0, 1));
  await held.sync();
  expect(await all(daemons.b.uploads({ prefix: '' }))).toMatchObject([{ uploadId: 'held', hasStream: true }]);
  await daemons.b.sweep(Date.now() + 1000);
  expect((await commit(held)).rowCount).toBe(1n);
});

test('an upload whose stream is at one daemon is followed at the other, to its commit or its end', async () => {
  await using daemons = await two();
  const { a, b } = daemons;
  const rowsAt = async (id: string, firstRow: number) => {
    const view = await b.viewUpload(id);
    if (view.state !== 'open') throw new Error(`upload ${id} is ${view.state}`);
    const batches = await all(view.read({ columns: [0, 1], firstRow }, RUNNING));
    return batches.length === 0 ? undefined : asText(gatherBatches(schemaOf(LINE.variables), batches));
  };
  await using upload = await a.openUpload(uploadSpec('k', 'u'));
  await upload.append(lineRows(0, 10));
  expect(await rowsAt('u', 0)).toBeUndefined();
  await upload.sync();
  expect(await rowsAt('u', 0)).toEqual(asText(lineRows(0, 10)));
  await upload.append(lineRows(10, 100_000));
  await upload.sync();
  expect(await rowsAt('u', 5)).toEqual(asText(lineRows(5, 100_005)));
  const manifest = await commit(upload);
  expect(await b.viewUpload('u')).toEqual({ state: 'committed', manifest });
  await using given = await a.openUpload(uploadSpec('k', 'given-up'));
  await given.append(lineRows(0, 10));
  await given.sync();
  await a.abortUpload('given-up');
  await expect(rowsAt('given-up', 0)).rejects.toMatchObject({ reason: 'UPLOAD_ABORTED' });
});

test('of writers of one key at once each makes a revision', async () => {
  await using daemons = await two();
  const backends = [daemons.a, daemons.b];
  const saves = Array.from({ length: 20 }, (_, i) => save(backends[i % 2] ?? daemons.a, 'k', [lineRows(0, i + 1)]));
  const revisions = (await Promise.all(saves)).map(({ revision }) => Number(revision)).sort((x, y) => x - y);
  expect(revisions).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
});

test('of writers that expect the same revision one wins, and the others get one clear error', async () => {
  await using daemons = await two();
  for (let round = 0; round < 5; round++) {
    const uploads = await Promise.all(
      [daemons.a, daemons.b, daemons.a, daemons.b].map((backend, i) =>
        backend.openUpload(uploadSpec('k', `u${round}.${i}`, { expectedRevision: round })),
      ),
    );
    const outcomes = await Promise.allSettled(uploads.map((upload) => commit(upload)));
    const lost = outcomes.filter((outcome) => outcome.status === 'rejected').map(({ reason }) => reason as unknown);
    expect(lost).toHaveLength(3);
    for (const reason of lost) expect(reason).toMatchObject({ reason: 'REVISION_MISMATCH' });
    for (const upload of uploads) await upload[Symbol.asyncDispose]();
  }
  expect((await daemons.a.stat('k')).revision).toBe(5n);
});

test('who follows the changes of both daemons sees each once, in the order of their numbers', async () => {
  await using daemons = await two();
  const keys = Array.from({ length: 60 }, (_, i) => `k${i}`);
  let isDone = false;
  const writing = Promise.all(keys.map((key, i) => save(i % 2 === 0 ? daemons.a : daemons.b, key, []))).then(
    () => (isDone = true),
  );
  const seen: string[] = [];
  let after = 0n;
  for (let last = false; !last;) {
    last = isDone;
    for await (const { key, changeNumber } of daemons.b.changes({ after }, RUNNING)) {
      expect(changeNumber).toBeGreaterThan(after);
      after = changeNumber;
      seen.push(key);
    }
  }
  await writing;
  expect(seen.sort()).toEqual([...keys].sort());
  expect((await daemons.a.changeNumbers()).newest).toBe(60n);
});

test('old revisions and their rows are removed once, whichever daemon sweeps', async () => {
  await using daemons = await two({ revision_retention_ms: 0 });
  for (let i = 0; i < 5; i++) await save(daemons.a, 'k', [lineRows(0, 50_000)]);
  const before = (await daemons.a.stats()).sizeBytes;
  const later = Date.now() + 1000;
  await Promise.all([daemons.a.sweep(later), daemons.b.sweep(later)]);
  expect((await daemons.a.stats()).sizeBytes * 5).toBe(before);
  await daemons.a.delete('k', undefined);
  await Promise.all([daemons.a.sweep(later), daemons.b.sweep(later)]);
  expect(await daemons.b.stats()).toMatchObject({ resultCount: 0, sizeBytes: 0 });
});
