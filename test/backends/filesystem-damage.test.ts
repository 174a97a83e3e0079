import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openFilesystemBackend } from '../../server/backends/filesystem/filesystem-backend.js';
import { folderName } from '../../server/backends/filesystem/names.js';
import { inRole } from '../../server/manager/role-store.js';
import { CircuitBreaker } from '../../server/manager/circuit-breaker.js';
import { filesBelow, flipBit } from './damage.js';
import { all, asText, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';
import { CrashFolders } from './suite-crash.js';

const folders = new CrashFolders({
  open: (base_path) => openFilesystemBackend({ base_path }),
  ackedFile: () => Promise.reject(new Error('nothing is torn here')),
});

test('a result of which even the key is damaged is passed over by no list without a word, and comes back by a copy', async () => {
  const path = folders.fresh();
  const key = 'studies/b';
  await folders.within(path, async (backend) => {
    for (const other of ['studies/a', key, 'studies/c']) await save(backend, other, [lineRows(0, 3)]);
  });
  await using other = await openFilesystemBackend({ base_path: folders.fresh() });
  const read = (backend: typeof other, manifest: Awaited<ReturnType<typeof other.stat>>) => (firstRow: number) =>
    backend.read(manifest, { columns: [0, 1], firstRow, rowCount: 3 - firstRow }, RUNNING);
  const source = await folders.within(path, async (backend) => {
    const manifest = await backend.stat(key);
    return other.copyIn(manifest, read(backend, manifest), { replace: false }, RUNNING);
  });
  const folder = join(path, 'results', folderName(key));
  for (const file of await filesBelow(folder)) if (/(result|key)\.json$/.test(file)) await truncate(file, 10);
  await folders.within(path, async (backend) => {
    for (const [orderBy, prefix] of [
      ['key', ''],
      ['commit_time', 'studies/'],
      ['update_time', ''],
    ] as const) {
      const query = { prefix, filter: undefined, orderBy, descending: false };
      const list = inRole('primary', backend, new CircuitBreaker('primary')).list(query, RUNNING);
      expect((await all(list)).map((manifest) => manifest.key)).toEqual(['studies/a', 'studies/c']);
      expect([...list.unreachable]).toEqual(['primary']);
    }
    const copy = await backend.copyIn(source, read(other, source), { replace: true }, RUNNING);
    expect(asText(await load(backend, copy))).toEqual(asText(lineRows(0, 3)));
    const query = { prefix: '', filter: undefined, orderBy: 'key' as const, descending: false };
    expect((await all(backend.list(query, RUNNING))).map((manifest) => manifest.key)).toHaveLength(3);
  });
});

test('an upload whose record is damaged says so, and can be aborted', async () => {
  const path = folders.fresh();
  await folders.within(path, async (backend) => {
    await using upload = await backend.openUpload(uploadSpec('k', 'u'));
    await upload.append(lineRows(0, 3));
    await upload.sync();
  });
  for (const file of await filesBelow(join(path, 'uploads')))
    if (file.endsWith('upload.json')) await flipBit(file, 100);
  await folders.within(path, async (backend) => {
    await expect(backend.openUpload(uploadSpec('k', 'u'))).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
    await backend.abortUpload('u');
    await backend.abortUpload('u');
    await expect(backend.openUpload(uploadSpec('k', 'u'))).rejects.toMatchObject({ reason: 'UPLOAD_ABORTED' });
    expect((await backend.stats()).failure).toBeUndefined();
  });
});
