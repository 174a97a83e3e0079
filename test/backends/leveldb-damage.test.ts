import { appendFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import { expect, test } from 'vitest';
import { openLeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { damageCommittedUpload, damageLeveldbUpload, filesBelow, flipBit } from './damage.js';
import { all, asText, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';
import { CrashFolders } from './suite-crash.js';

const folders = new CrashFolders({
  open: (path) => openLeveldbBackend({ path }),
  ackedFile: () => Promise.reject(new Error('nothing is torn here')),
});

async function indexFile(path: string, name: RegExp): Promise<string> {
  return (await filesBelow(join(path, 'index'))).find((file) => name.test(file)) ?? '';
}

test('a bit flipped in a log of the index takes no result away that is not told', async () => {
  const path = folders.fresh();
  await folders.within(path, async (backend) => {
    for (let i = 0; i < 20; i++) await save(backend, `k${i}`, [lineRows(0, 50, i)]);
  });
  await flipBit(await indexFile(path, /\.log$/), 9000);
  await folders.within(path, async (backend) => {
    let corruptCount = 0;
    for (let i = 0; i < 20; i++) {
      const rows = await backend
        .stat(`k${i}`)
        .then((found) => load(backend, found))
        .catch((error: unknown) => error);
      if (rows instanceof Error) {
        expect(rows).toMatchObject({ reason: 'RESULT_CORRUPT' });
        corruptCount++;
      } else expect(asText(rows as never)).toEqual(asText(lineRows(0, 50, i)));
    }
    expect(corruptCount).toBeLessThanOrEqual(1);
  });
  expect(await readdir(join(path, 'quarantine'))).toHaveLength(1);
});

test('an index that has lost track of its files is mended, put aside and reported', async () => {
  const path = folders.fresh();
  await folders.within(path, (backend) => save(backend, 'k', [lineRows(0, 50)]));
  await flipBit(await indexFile(path, /MANIFEST/), 20);
  await folders.within(path, async (backend) => {
    expect(asText(await load(backend, await backend.stat('k')))).toEqual(asText(lineRows(0, 50)));
  });
  expect(await readdir(join(path, 'quarantine'))).toHaveLength(1);
});

test.each([
  { what: 'a log of the index', isLost: () => false },
  { what: 'a log of the index, and CURRENT', isLost: (name: string) => name.endsWith('CURRENT') },
])('zeros, and more of them, in the place of $what: the store says that it may lack results', async ({ isLost }) => {
  const path = folders.fresh();
  await folders.within(path, (backend) => save(backend, 'k', [lineRows(0, 50)]));
  await writeFile(await indexFile(path, /\.log$/), Buffer.alloc(2 ** 20));
  for (const file of await filesBelow(join(path, 'index'))) if (isLost(file)) await writeFile(file, 'nothing');
  await folders.within(path, async (backend) => {
    expect((await backend.stats()).failure).toMatch(/damaged/);
  });
});

test('bytes added to the log of an index that was closed are no loss, and are put aside', async () => {
  const path = folders.fresh();
  await folders.within(path, (backend) => save(backend, 'k', [lineRows(0, 50)]));
  await appendFile(await indexFile(path, /\.log$/), Buffer.alloc(100, 7));
  await folders.within(path, async (backend) => {
    expect((await backend.stats()).failure).toBeUndefined();
    expect(asText(await load(backend, await backend.stat('k')))).toEqual(asText(lineRows(0, 50)));
  });
});

test('a damaged name among the times and numbers of an index hides nothing of lists and changes', async () => {
  const path = folders.fresh();
  await folders.within(path, (backend) => save(backend, 'k', [lineRows(0, 50)]));
  const level = new Level<Buffer, Buffer>(join(path, 'index'), { keyEncoding: 'buffer', valueEncoding: 'buffer' });
  for (const place of ['time\0commit_time\0', 'time\0update_time\0', 'change\0'])
    await level.put(
      Buffer.concat([Buffer.from(`${place}0179597`), Buffer.alloc(13, 0xff), Buffer.from('\0k')]),
      Buffer.from('k'),
    );
  await level.close();
  await folders.within(path, async (backend) => {
    for (const orderBy of ['key', 'commit_time', 'update_time'] as const) {
      const query = { prefix: '', filter: undefined, orderBy, descending: false };
      expect((await all(backend.list(query, RUNNING))).map(({ key }) => key)).toEqual(['k']);
    }
    expect((await all(backend.changes({ after: 0n }, RUNNING))).map(({ key }) => key)).toEqual(['k']);
    await save(backend, 'another', [lineRows(0, 5)]);
  });
});

test('two files of rows that were swapped are taken for no others', async () => {
  const path = folders.fresh();
  await folders.within(path, async (backend) => {
    for (const [i, key] of ['a', 'b'].entries()) await save(backend, key, [lineRows(0, 20_000, i)]);
  });
  const [a = '', b = ''] = await filesBelow(join(path, 'segments'));
  await rename(a, `${a}.x`);
  await rename(b, a);
  await rename(`${a}.x`, b);
  await folders.within(path, async (backend) => {
    for (const key of ['a', 'b'])
      await expect(load(backend, await backend.stat(key))).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
  });
});

test('an upload whose acked rows are damaged says so, and can be aborted', async () => {
  const path = folders.fresh();
  await folders.within(path, async (backend) => {
    await using upload = await backend.openUpload(uploadSpec('k', 'u'));
    for (const rows of [3, 5]) {
      await upload.append(lineRows(upload.nextRow, rows));
      await upload.sync();
    }
  });
  await flipBit((await filesBelow(join(path, 'journal')))[0] ?? '', 100);
  await folders.within(path, async (backend) => {
    await expect(backend.openUpload(uploadSpec('k', 'u'))).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
    await expect(backend.viewUpload('u')).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
    await backend.abortUpload('u');
    expect((await backend.stats()).uploadCount).toBe(0);
    expect((await save(backend, 'k', [lineRows(0, 3)])).revision).toBe(1n);
  });
});

test('an upload whose entry in the index is damaged says so, and can be aborted', async () => {
  const path = folders.fresh();
  await folders.within(path, async (backend) => {
    await using upload = await backend.openUpload(uploadSpec('k', 'u'));
    await upload.append(lineRows(0, 3));
    await upload.sync();
  });
  await damageLeveldbUpload(path, 'u');
  await folders.within(path, async (backend) => {
    await expect(backend.openUpload(uploadSpec('k', 'u'))).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
    await backend.abortUpload('u');
    await backend.abortUpload('u');
    await expect(backend.openUpload(uploadSpec('k', 'u'))).rejects.toMatchObject({ reason: 'UPLOAD_ABORTED' });
    expect((await save(backend, 'k', [lineRows(0, 3)])).revision).toBe(1n);
  });
});

test('a committed upload whose entry in the index is damaged says so, can be aborted, and takes no result with it', async () => {
  const path = folders.fresh();
  // That of a result which is its key's newest is mended at the start.
  const uploadId = await folders.within(path, async (backend) => {
    const superseded = await save(backend, 'k', [lineRows(0, 2)]);
    await save(backend, 'k', [lineRows(0, 3)]);
    return superseded.uploadId;
  });
  await damageCommittedUpload(path, uploadId);
  for (const isFirst of [true, false])
    await folders.within(path, async (backend) => {
      const open = () => backend.openUpload(uploadSpec('k', uploadId));
      if (isFirst) await expect(open()).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
      await backend.abortUpload(uploadId);
      await expect(open()).rejects.toMatchObject({ reason: 'UPLOAD_ABORTED' });
      for (const revision of [1, 2])
        expect((await load(backend, await backend.stat('k', revision)))?.rowCount).toBe(1 + revision);
    });
});
