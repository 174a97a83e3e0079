import { appendFile, cp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { openFilesystemBackend } from '../../server/backends/filesystem/filesystem-backend.js';
import { encodeJson } from '../../server/backends/filesystem/checked-json.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { StorageError } from '../../server/errors.js';
import { schemaOf } from '../../server/rows/batch.js';
import { sliceBatch } from '../../server/rows/slice.js';
import { MIXED, mixedRun } from '../rpc/sample-runs.js';
import { PROBLEM, RawSave, rowsFrom, TestDaemon } from '../rpc/wire.js';
import { damageFilesystemEntry } from './damage.js';
import { all, asText, commit, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';
import { type rowsOf } from './suite-copies.js';
import { CrashFolders, crashPromises } from './suite-crash.js';

const folders = new CrashFolders({
  open: (base_path) => openFilesystemBackend({ base_path }),
  ackedFile: (path) => onlyFile(path, '.frames'),
});

/** Files below a folder whose name ends so. */
async function filesOf(path: string, end = ''): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(end));
  return files.map((entry) => join(entry.parentPath, entry.name)).sort();
}

async function onlyFile(path: string, end: string): Promise<string> {
  const files = await filesOf(path, end);
  expect(files).toHaveLength(1);
  return files[0] as string;
}

describe('a crash', () => {
  crashPromises(folders);

  test('between the end of an upload and the removal of its rows leaves nothing that is listed or expires', async () => {
    const path = folders.fresh();
    await folders.within(path, async (backend) => {
      for (const uploadId of ['committed', 'aborted']) {
        const upload = await backend.openUpload(uploadSpec('k', uploadId));
        await upload.append(lineRows(0, 100));
        await upload.sync();
      }
      const image = await folders.crashed(path);
      await using upload = await backend.openUpload(uploadSpec('k', 'committed'));
      await commit(upload);
      await backend.abortUpload('aborted');
      await cp(join(image, 'uploads'), join(path, 'uploads'), { recursive: true, verbatimSymlinks: true });
    });
    await folders.within(path, async (backend) => {
      expect(await all(backend.uploads({ prefix: '' }))).toEqual([]);
      expect(await backend.stats()).toMatchObject({ resultCount: 1, uploadCount: 0 });
      await backend.sweep(Date.now() + 20 * 86_400_000);
      expect(await readdir(join(path, 'uploads'))).toEqual([]);
    });
  });

  test('between a commit and the end of its upload gives the same result when the commit is repeated', async () => {
    const path = folders.fresh();
    const before = await folders.within(path, async (backend) => {
      const upload = await backend.openUpload(uploadSpec('k', 'u'));
      await upload.append(lineRows(0, 100));
      await upload.sync();
      const image = await folders.crashed(path);
      await commit(upload);
      return image;
    });
    // What the commit has made visible; of its upload's end, of the log and of the id, nothing.
    await cp(join(path, 'results'), join(before, 'results'), { recursive: true, verbatimSymlinks: true });
    await folders.within(before, async (backend) => {
      expect((await backend.changeNumbers()).newest > 0n).toBe(true);
      expect(await all(backend.changes({ after: 0n }, RUNNING))).toMatchObject([{ key: 'k', revision: 1n }]);
      await using upload = await backend.openUpload(uploadSpec('k', 'u'));
      expect(upload.committed?.revision).toBe(1n);
      expect((await commit(upload)).revision).toBe(1n);
      expect(await backend.stats()).toMatchObject({ resultCount: 1, uploadCount: 0 });
    });
    expect(await filesOf(join(before, 'uploads'))).toEqual([]);
  });

  test('that tears the log of changes loses no change, and none is told twice under another number', async () => {
    const path = folders.fresh();
    await folders.within(path, async (backend) => {
      for (const key of ['a', 'b', 'c']) await save(backend, key, [lineRows(0, 1)]);
    });
    const { size } = await stat(join(path, 'changes.log'));
    const told = (copy: string) =>
      folders.within(copy, async (backend) =>
        (await all(backend.changes({ after: 0n }, RUNNING))).map(({ key }) => key),
      );
    for (const length of [size - 1, size - 2, size - 20, Math.floor(size / 2), 3, 0]) {
      const copy = await folders.crashed(path);
      await truncate(join(copy, 'changes.log'), length);
      expect((await told(copy)).sort()).toEqual(['a', 'b', 'c']);
    }
    const zeros = await folders.crashed(path);
    await appendFile(join(zeros, 'changes.log'), Buffer.alloc(100));
    expect(await told(zeros)).toEqual(['a', 'b', 'c']);
    await folders.within(zeros, (backend) => save(backend, 'd', []));
    expect(await told(zeros)).toEqual(['a', 'b', 'c', 'd']);
  });

  test('leaves nothing behind that stays for ever', async () => {
    const path = folders.fresh();
    await folders.within(path, (backend) => save(backend, 'k', [lineRows(0, 1)]));
    const [key = ''] = await readdir(join(path, 'results'));
    const left = [
      join(path, 'temporary', '.left'),
      join(path, 'results', key, '.00000002.change.left'),
      join(path, 'results', key, '.left'),
    ];
    const longAgo = new Date(Date.now() - 48 * 3_600_000);
    for (const file of left) {
      await writeFile(file, 'left over');
      await utimes(file, longAgo, longAgo);
    }
    await folders.within(path, async (backend) => {
      await backend.sweep();
      expect(await readdir(join(path, 'temporary'))).toEqual([]);
      expect((await readdir(join(path, 'results', key))).sort()).toEqual(['00000001', 'key.json', 'latest']);
      expect(asText(await load(backend, await backend.stat('k')))).toEqual(asText(lineRows(0, 1)));
    });
  });
});

describe('SIGKILL', () => {
  /** Numbers from 0 up to 1, the same for the same seed. */
  function dice(seed: number): () => number {
    let state = seed;
    return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  }

  /** Of a commit, each and what follows upon it: it may have come, rows are gathered, its slot is prepared, its id is remembered. */
  const MOMENTS = [/./, /\.arrow$/, /results/, /ended/, undefined];

  test.each([1, 2])(
    'at any moment of saves and commits loses nothing that was answered (seed %i)',
    async (seed) => {
      const roll = dice(seed * 7919);
      const base_path = folders.fresh();
      const settings = { primary: { type: 'filesystem', base_path } };
      const committed = new Map<string, number>();
      for (let round = 0; round < 2; round++) {
        await using daemon = await TestDaemon.startWith(settings);
        const id = `s${seed}_${round}`;
        const rawSave = new RawSave(daemon.address).send({
          case: 'open',
          value: { key: `k/${id}`, uploadId: id, problem: PROBLEM },
        });
        let sent = 0;
        for (let i = 0; i < 1 + roll() * 6; i++) {
          const rows = roll() < 0.5 ? 3 : 30_000;
          rawSave.send({ case: 'batch', value: rowsFrom(sent, rows) }).send({ case: 'flush', value: {} });
          sent += rows;
        }
        let acked = 0;
        const ackCount = Math.floor(roll() * 4);
        const moment = MOMENTS[Math.floor(roll() * MOMENTS.length)];
        const isCommitted = await (async () => {
          try {
            for (let i = 0; i < ackCount && acked < sent; i++)
              acked = Number((await rawSave.answer('ack')).durableRowCount);
            rawSave.send({ case: 'commit', value: { rowCount: BigInt(sent) } });
            const committed = rawSave.answer('committed').then(() => true);
            if (moment === undefined) return await committed;
            committed.catch(() => undefined);
            while (!(await filesOf(base_path)).some((file) => file.includes(id) && moment.test(file)))
              await immediate();
            await daemon.process.stop('SIGKILL');
            return await committed;
          } catch {
            return false;
          }
        })();
        await daemon.process.stop('SIGKILL');
        rawSave.cancel();
        await using again = await TestDaemon.startWith(settings);
        const client = createClient({ address: again.address });
        const writer = await client.save(`k/${id}`, PROBLEM, { uploadId: id });
        const from = writer.nextRow;
        expect(from).toBeGreaterThanOrEqual(isCommitted ? sent : acked);
        const rest = Array.from({ length: sent - from }, (_, i) => from + i);
        if (rest.length > 0) await writer.append({ x: rest, label: rest.map(() => 'a') });
        await writer.commit();
        committed.set(`k/${id}`, sent);
        for (const [key, rowCount] of committed) {
          const { columns, header } = await client.load(key).toColumns();
          expect(header.result).toMatchObject({ rowCount: BigInt(rowCount), revision: 1n });
          expect(columns['x']?.values).toEqual(Float64Array.from({ length: rowCount }, (_, i) => i));
        }
        client.close();
      }
    },
    60_000,
  );
});

describe('bytes that have changed', () => {
  const SCHEMA = schemaOf(MIXED.variables);
  const RUN = mixedRun(2000);
  let whole: string;

  beforeAll(async () => {
    whole = folders.fresh();
    await folders.within(whole, async (backend) => {
      await save(backend, 'k', [sliceBatch(SCHEMA, RUN, 0, 1500)], { problem: MIXED, tags: { a: 'b' } });
      await save(backend, 'k', [sliceBatch(SCHEMA, RUN, 1500, 500)], { problem: MIXED, append: true });
    });
  });

  /** What a store gives of the result: its rows, or the reason why not. Whatever else it does is a failure. */
  async function outcomeOf(path: string): Promise<unknown> {
    try {
      return await folders.within(path, async (backend) => {
        const manifest = await backend.stat('k');
        expect(manifest).toMatchObject({ key: 'k', revision: 2n, tags: { a: 'b' }, rowCount: 2000n });
        const part = { columns: [3, 0], firstRow: 700, rowCount: 5 };
        const some = sliceBatch([4, 1], { ...RUN, columns: [RUN.columns[3], RUN.columns[0]] as never }, 700, 5);
        const read = await load(backend, manifest, part);
        expect(asText(read)).toEqual(asText(some));
        return asText(await load(backend, manifest));
      });
    } catch (error) {
      if (error instanceof StorageError && error.reason === 'RESULT_CORRUPT') return error.reason;
      throw error;
    }
  }

  async function damaged(change: (file: string) => Promise<void>, pick: number): Promise<[string, unknown]> {
    const copy = await folders.crashed(whole);
    const [newest = ''] = (await readdir(join(copy, 'results'))).map((name) => join(copy, 'results', name, '00000002'));
    const files = await filesOf(newest);
    const file = files[pick % files.length] as string;
    await change(file);
    const outcome = await outcomeOf(copy);
    await rm(copy, { recursive: true });
    return [file, outcome];
  }

  test('anywhere in the files of a result give its rows or RESULT_CORRUPT, never others', async () => {
    const right = asText(RUN);
    let corruptCount = 0;
    const property = fc.asyncProperty(
      fc.nat(),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.nat(7),
      async (pick, at, bit) => {
        const [file, outcome] = await damaged(async (path) => {
          const bytes = await readFile(path);
          const place = Math.min(Math.floor(at * bytes.byteLength), bytes.byteLength - 1);
          bytes[place] = (bytes[place] as number) ^ (1 << bit);
          await writeFile(path, bytes);
        }, pick);
        if (outcome === 'RESULT_CORRUPT') corruptCount++;
        // Only between the buffers of an Arrow file lies something that nothing depends on.
        else expect([file.endsWith('.arrow'), outcome]).toEqual([true, right]);
      },
    );
    await fc.assert(property, { numRuns: 120 });
    expect(corruptCount).toBeGreaterThan(60);
  });

  test('or files that are cut, emptied or gone give RESULT_CORRUPT', async () => {
    for (let pick = 0; pick < 5; pick++) {
      for (const share of [0, 0.3, 0.999]) {
        const cut = async (path: string) => truncate(path, Math.floor((await stat(path)).size * share));
        expect((await damaged(cut, pick))[1]).toBe('RESULT_CORRUPT');
      }
      expect((await damaged((path) => rm(path), pick))[1]).toBe('RESULT_CORRUPT');
      expect((await damaged((path) => appendFile(path, 'x'), pick))[1]).toBe('RESULT_CORRUPT');
    }
  });

  test('are told in the figures, and repaired from another store', async () => {
    await using other = new MemoryBackend({ max_memory_mb: 64 });
    const source = await folders.within(whole, async (backend) => {
      const manifest = await backend.stat('k');
      return other.copyIn(manifest, rowsOfAll(backend, manifest), { replace: false }, RUNNING);
    });
    for (const name of ['result.json', 'rows-00000.arrow', 'rows-00001.crc.json']) {
      const copy = await folders.crashed(whole);
      const [key = ''] = await readdir(join(copy, 'results'));
      await truncate(join(copy, 'results', key, '00000002', name), 10);
      await folders.within(copy, async (backend) => {
        const { failure } = await backend.stats();
        if (name === 'result.json') expect(failure).toContain('result.json');
        const rows = rowsOfAll(other, source);
        const repaired = await backend.copyIn(source, rows, { replace: true }, RUNNING);
        expect(repaired.revision).toBe(2n);
        expect(asText(await load(backend, await backend.stat('k')))).toEqual(asText(RUN));
        expect((await backend.stats()).failure).toBeUndefined();
      });
    }
  });

  const rowsOfAll =
    (backend: Parameters<typeof rowsOf>[0], manifest: Parameters<typeof rowsOf>[1]) =>
    (firstRow: number, signal: AbortSignal) =>
      backend.read(
        manifest,
        { columns: [0, 1, 2, 3], firstRow, rowCount: Number(manifest.rowCount) - firstRow },
        signal,
      );
});

describe('opening', () => {
  test('a store of a newer version, or a folder that can not be made, is refused and named', async () => {
    const newer = folders.fresh();
    await folders.within(newer, (backend) => save(backend, 'k', []));
    await writeFile(join(newer, 'optistore.json'), encodeJson({ version: 2 }));
    await expect(openFilesystemBackend({ base_path: newer })).rejects.toMatchObject({
      reason: 'BACKEND_UNAVAILABLE',
      message: expect.stringContaining('version 2') as string,
    });
    const path = folders.fresh();
    await writeFile(path, 'a file');
    const below = openFilesystemBackend({ base_path: join(path, 'below') });
    await expect(below).rejects.toMatchObject({
      reason: 'BACKEND_UNAVAILABLE',
      message: expect.stringContaining(path) as string,
    });
  });

  test('a result.json that is damaged while the store is open is named by lists, which go on behind it', async () => {
    const path = folders.fresh();
    await folders.within(path, async (backend) => {
      for (const key of ['a', 'b', 'c']) await save(backend, key, [lineRows(0, 1)]);
      await damageFilesystemEntry(path, 'b');
      const query = { prefix: '', filter: undefined, orderBy: 'update_time' as const, descending: false };
      const failure: unknown = await all(backend.list(query, RUNNING)).catch((error: unknown) => error);
      expect(failure).toMatchObject({ reason: 'RESULT_CORRUPT', metadata: { damaged_key: 'b' } });
      const { damaged_time: time = '' } = (failure as StorageError).metadata;
      const behind = backend.list({ ...query, after: { key: 'b', time: BigInt(time) } }, RUNNING);
      expect((await all(behind)).map(({ key }) => key)).toEqual(['c']);
      expect((await all(backend.changes({ after: 0n }, RUNNING))).map(({ key }) => key)).toEqual(['a', 'c']);
    });
  });

  test('a store whose folder goes away is not taken for an empty one', async () => {
    const path = folders.fresh();
    await using backend = await openFilesystemBackend({ base_path: path });
    await save(backend, 'k', [lineRows(0, 1)]);
    await rm(join(path, 'results'), { recursive: true });
    await expect(backend.stat('k')).rejects.toMatchObject({ reason: 'BACKEND_UNAVAILABLE' });
    await expect(save(backend, 'l', [])).rejects.toMatchObject({ reason: 'BACKEND_UNAVAILABLE' });
  });
});
