import { readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { openLeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { asText, lineRows, load, save, uploadSpec } from './runs.js';
import { CrashFolders, crashPromises } from './suite-crash.js';

const folders = new CrashFolders({
  open: (path) => openLeveldbBackend({ path }),
  ackedFile: (path) => onlyFile(path, 'journal'),
  afterKill: (path) => rm(join(path, 'index', 'LOCK'), { force: true }),
});

async function onlyFile(path: string, part: 'journal' | 'segments'): Promise<string> {
  const [name = ''] = await readdir(join(path, part));
  return join(path, part, name);
}

describe('a crash', () => {
  crashPromises(folders);

  test('that tears a segment behind what was synced leaves that, and the upload goes on', async () => {
    const path = folders.fresh();
    await using backend = await openLeveldbBackend({ path });
    await using upload = await backend.openUpload(uploadSpec('k', 'u'));
    await upload.append(lineRows(0, 70_000));
    await upload.sync();
    const safe = (await stat(await onlyFile(path, 'segments'))).size;
    const marked = (await stat(await onlyFile(path, 'journal'))).size;
    await upload.append(lineRows(70_000, 70_000));
    await upload.sync();
    for (const length of [safe, safe + 63, safe + 64, safe + 500_000]) {
      const copy = await folders.crashed(path);
      await truncate(await onlyFile(copy, 'segments'), length);
      // What tells of an ack is written behind what was acked.
      await truncate(await onlyFile(copy, 'journal'), marked);
      await folders.within(copy, async (again) => {
        await using resumed = await again.openUpload(uploadSpec('k', 'u'));
        expect(resumed.nextRow).toBe(70_000);
        await resumed.append(lineRows(70_000, 10));
      });
      expect(await folders.rowsLeft(copy)).toBe(70_010);
    }
  });

  test('of a recovery that is cut off is recovered from', async () => {
    const path = folders.fresh();
    await folders.within(path, async (backend) => {
      await using upload = await backend.openUpload(uploadSpec('k', 'u'));
      await upload.append(lineRows(0, 30));
    });
    // A second journal that the recovery had begun.
    const name = await onlyFile(path, 'journal');
    await writeFile(name.replace(/\d+\.journal$/, '99999999.journal'), 'OPTIST');
    expect(await folders.rowsLeft(path)).toBe(30);
  });
});

describe('opening', () => {
  test('a store that is open elsewhere is refused, and says what to do', async () => {
    const path = folders.fresh();
    await using first = await openLeveldbBackend({ path });
    await save(first, 'k', []);
    await expect(openLeveldbBackend({ path })).rejects.toMatchObject({
      reason: 'BACKEND_LOCKED',
      message: expect.stringContaining('stop the other one') as string,
    });
  });

  test('removes files that nothing has: their deletion was cut off', async () => {
    const path = folders.fresh();
    await folders.within(path, (backend) => save(backend, 'k', [lineRows(0, 70_000)]));
    await writeFile(join(path, 'segments', '0000000077.seg'), 'left over');
    await folders.within(path, async (backend) => {
      await vi.waitFor(async () => expect(await readdir(join(path, 'segments'))).toHaveLength(1), 10_000);
      expect(asText(await load(backend, await backend.stat('k')))).toEqual(asText(lineRows(0, 70_000)));
    });
  });

  test('row data without its index is left as it is, and refused', async () => {
    const path = folders.fresh();
    await folders.within(path, (backend) => save(backend, 'k', [lineRows(0, 70_000)]));
    await rm(join(path, 'index'), { recursive: true });
    // Also the second time: the first must not have made an index to which nothing belongs.
    for (let i = 0; i < 2; i++)
      await expect(openLeveldbBackend({ path })).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
    expect(await readdir(join(path, 'segments'))).toHaveLength(1);
  });

  test('a folder that can not be made is refused by its name', async () => {
    const path = folders.fresh();
    await writeFile(path, 'a file');
    await expect(openLeveldbBackend({ path: join(path, 'below') })).rejects.toMatchObject({
      reason: 'BACKEND_UNAVAILABLE',
      message: expect.stringContaining(path) as string,
    });
  });
});

test('bytes written for a byte saved stay under 1.1 in bulk', async () => {
  const path = folders.fresh();
  await folders.within(path, async (backend) => {
    const batches = Array.from({ length: 20 }, (_, i) => lineRows(i * 20_000, 20_000));
    await save(backend, 'k', batches);
    const stored = (await stat(await onlyFile(path, 'segments'))).size;
    expect(stored / (400_000 * 16)).toBeLessThan(1.1);
  });
});
