import { expect, test } from 'vitest';
import type { ListQuery, StorageBackend } from '../../server/backends/backend.js';
import { schemaOf } from '../../server/rows/batch.js';
import { gatherBatches } from '../../server/rows/gather.js';
import { all, asText, commit, LINE, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';

/** A backend that several processes may share, as its own tests open it. */
export interface SharedBackend extends StorageBackend {
  /** Does the housekeeping that is due at a time. */
  sweep(nowMs: number): Promise<void>;
  /** Says again which uploads have a stream here, and learns which others took. */
  renewHolds(): Promise<void>;
}

/** Two daemons' backends on one empty store. */
export interface TwoBackends extends AsyncDisposable {
  readonly a: SharedBackend;
  readonly b: SharedBackend;
}

/** Opens two backends at once on one new store, which both make. */
export type OpenTwo = (times?: { upload_ttl_ms?: number; revision_retention_ms?: number }) => Promise<TwoBackends>;

const everything: ListQuery = { prefix: '', filter: undefined, orderBy: 'key', descending: false };

/** What a backend promises that says it is shared. */
export function sharedPromises(open: OpenTwo): void {
  test('what one daemon saves, annotates and deletes, the other loads, lists and misses', async () => {
    await using daemons = await open();
    const { a, b } = daemons;
    expect(a.capabilities).toEqual({ durable: true, shared: true });
    await save(a, 'k', [lineRows(0, 100_000)], { tags: { from: 'a' } });
    await save(a, 'l', [lineRows(0, 3)]);
    expect(asText(await load(b, await b.stat('k', undefined, RUNNING)))).toEqual(asText(lineRows(0, 100_000)));
    await b.annotate('k', 1, (manifest) => void (manifest.tags['seen'] = 'b'), RUNNING);
    expect((await a.stat('k', undefined, RUNNING)).tags).toEqual({ from: 'a', seen: 'b' });
    await b.delete('l', 1, RUNNING);
    expect((await all(a.list(everything, RUNNING))).map(({ key }) => key)).toEqual(['k']);
    expect(await a.stats(RUNNING)).toEqual(await b.stats(RUNNING));
  });

  test('an upload that another daemon takes over goes on there from its durable rows; the first one writes nothing more', async () => {
    await using daemons = await open();
    await using first = await daemons.a.openUpload(uploadSpec('k', 'u'), RUNNING);
    await first.append(lineRows(0, 10));
    expect(await first.sync()).toBe(10);
    await first.append(lineRows(10, 5, -1));
    await using second = await daemons.b.openUpload(uploadSpec('k', 'u'), RUNNING);
    expect(second.nextRow).toBe(10);
    await expect(first.sync()).rejects.toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
    expect(first.lost.reason).toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
    await expect(commit(first, 15)).rejects.toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
    await second.append(lineRows(10, 10));
    expect(asText(await load(daemons.a, await commit(second)))).toEqual(asText(lineRows(0, 20)));
    await using again = await daemons.a.openUpload(uploadSpec('k', 'u'), RUNNING);
    expect(again.committed?.rowCount).toBe(20n);
  });

  test('a daemon that has nothing to write learns that its upload was taken over, or aborted, when it renews its hold', async () => {
    await using daemons = await open();
    await using taken = await daemons.a.openUpload(uploadSpec('k', 'taken'), RUNNING);
    await using aborted = await daemons.a.openUpload(uploadSpec('k', 'aborted'), RUNNING);
    await using kept = await daemons.a.openUpload(uploadSpec('k', 'kept'), RUNNING);
    await using second = await daemons.b.openUpload(uploadSpec('k', 'taken'), RUNNING);
    await daemons.b.abortUpload('aborted', RUNNING);
    await daemons.a.renewHolds();
    expect(taken.lost.reason).toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
    expect(aborted.lost.reason).toMatchObject({ reason: 'UPLOAD_ABORTED' });
    expect([kept.lost.aborted, second.lost.aborted]).toEqual([false, false]);
  });

  test('an upload whose stream is at one daemon is followed at the other, over a takeover, to its commit or its end', async () => {
    await using daemons = await open();
    const { a, b } = daemons;
    const rowsAt = async (backend: StorageBackend, id: string, firstRow: number) => {
      const view = await backend.viewUpload(id, RUNNING);
      if (view.state !== 'open') throw new Error(`upload ${id} is ${view.state}`);
      const batches = await all(view.read({ columns: [0, 1], firstRow }, RUNNING));
      return batches.length === 0 ? undefined : asText(gatherBatches(schemaOf(LINE.variables), batches));
    };
    {
      await using upload = await a.openUpload(uploadSpec('k', 'u'), RUNNING);
      await upload.append(lineRows(0, 10));
      expect(await rowsAt(b, 'u', 0)).toBeUndefined();
      await upload.sync();
      expect(await rowsAt(b, 'u', 0)).toEqual(asText(lineRows(0, 10)));
      await upload.append(lineRows(10, 100_000));
      for (let row = 100_010; row < 100_100; row++) await upload.append(lineRows(row, 1));
      await upload.sync();
      expect(await rowsAt(b, 'u', 5)).toEqual(asText(lineRows(5, 100_095)));
    }
    await using upload = await b.openUpload(uploadSpec('k', 'u'), RUNNING);
    expect(await rowsAt(a, 'u', 99_990)).toEqual(asText(lineRows(99_990, 110)));
    await upload.append(lineRows(100_100, 10));
    await upload.sync();
    for (const backend of [a, b]) expect(await rowsAt(backend, 'u', 7)).toEqual(asText(lineRows(7, 100_103)));
    const { revision, rowCount } = await commit(upload);
    expect(await a.viewUpload('u', RUNNING)).toMatchObject({ state: 'committed', manifest: { revision, rowCount } });
    await using given = await a.openUpload(uploadSpec('k', 'given-up'), RUNNING);
    await given.append(lineRows(0, 10));
    await given.sync();
    await a.abortUpload('given-up', RUNNING);
    await expect(rowsAt(b, 'given-up', 0)).rejects.toMatchObject({ reason: 'UPLOAD_ABORTED' });
  });

  test('an upload that one daemon has open is listed by the other, and does not expire there', async () => {
    await using daemons = await open({ upload_ttl_ms: 1 });
    await using held = await daemons.a.openUpload(uploadSpec('k', 'held'), RUNNING);
    await held.append(lineRows(0, 1));
    await held.sync();
    expect(await all(daemons.b.uploads({ prefix: '' }, RUNNING))).toMatchObject([
      { uploadId: 'held', hasStream: true },
    ]);
    await daemons.b.sweep(Date.now() + 1000);
    expect((await commit(held)).rowCount).toBe(1n);
  });

  test('of writers of one key at once each makes a revision', async () => {
    await using daemons = await open();
    const backends = [daemons.a, daemons.b];
    const saves = Array.from({ length: 20 }, (_, i) => save(backends[i % 2] ?? daemons.a, 'k', [lineRows(0, i + 1)]));
    const revisions = (await Promise.all(saves)).map(({ revision }) => Number(revision)).sort((x, y) => x - y);
    expect(revisions).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  });

  test('of writers that expect the same revision one wins, and the others get one clear error', async () => {
    await using daemons = await open();
    for (let round = 0; round < 5; round++) {
      const uploads = await Promise.all(
        [daemons.a, daemons.b, daemons.a, daemons.b].map((backend, i) =>
          backend.openUpload(uploadSpec('k', `u${round}.${i}`, { expectedRevision: round }), RUNNING),
        ),
      );
      const outcomes = await Promise.allSettled(uploads.map((upload) => commit(upload)));
      const lost = outcomes.filter((outcome) => outcome.status === 'rejected').map(({ reason }) => reason as unknown);
      expect(lost).toHaveLength(3);
      for (const reason of lost) expect(reason).toMatchObject({ reason: 'REVISION_MISMATCH' });
      for (const upload of uploads) await upload[Symbol.asyncDispose]();
    }
    expect((await daemons.a.stat('k', undefined, RUNNING)).revision).toBe(5n);
  });

  test('who follows the changes of both daemons sees each once, in the order of their numbers', async () => {
    await using daemons = await open();
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
    expect((await daemons.a.changeNumbers(RUNNING)).newest).toBe(after);
  });

  test('old revisions and their rows are removed once, whichever daemon sweeps', async () => {
    await using daemons = await open({ revision_retention_ms: 0 });
    await save(daemons.a, 'k', [lineRows(0, 50_000)]);
    const one = (await daemons.a.stats(RUNNING)).sizeBytes;
    for (let i = 0; i < 4; i++) await save(daemons.a, 'k', [lineRows(0, 50_000)]);
    const later = Date.now() + 1000;
    await Promise.all([daemons.a.sweep(later), daemons.b.sweep(later)]);
    // But for the digits of revisions and ids that the rows' files may name.
    expect(Math.abs((await daemons.a.stats(RUNNING)).sizeBytes - one)).toBeLessThan(100);
    await daemons.a.delete('k', undefined, RUNNING);
    await Promise.all([daemons.a.sweep(later), daemons.b.sweep(later)]);
    expect(await daemons.b.stats(RUNNING)).toMatchObject({ resultCount: 0, sizeBytes: 0 });
  });
}
