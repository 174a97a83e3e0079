import { appendFile, cp, mkdir, mkdtemp, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openLeveldbBackend, type LeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { asText, commit, lineRows, load, save, uploadSpec } from './runs.js';

let folder: string;
let number = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'optistore-crash-'));
});

afterAll(() => rm(folder, { recursive: true }));

const freshPath = () => join(folder, `store-${number++}`);

/** What a crash would leave now: the files as they are, without closing anything. */
async function crashed(path: string): Promise<string> {
  const copy = freshPath();
  await cp(path, copy, { recursive: true });
  await rm(join(copy, 'index', 'LOCK'), { force: true });
  return copy;
}

async function onlyFile(path: string, part: 'journal' | 'segments'): Promise<string> {
  const [name = ''] = await readdir(join(path, part));
  return join(path, part, name);
}

async function within<T>(path: string, act: (backend: LeveldbBackend) => Promise<T>): Promise<T> {
  await using backend = await openLeveldbBackend({ path });
  return await act(backend);
}

/** Commits what is left of an upload, and checks that it is the beginning of the run. */
async function rowsLeft(path: string): Promise<number> {
  return within(path, async (backend) => {
    await using upload = await backend.openUpload(uploadSpec('k', 'u'));
    const rows = upload.nextRow;
    const manifest = await commit(upload);
    expect(asText(await load(backend, manifest))).toEqual(rows === 0 ? undefined : asText(lineRows(0, rows)));
    return rows;
  });
}

describe('a crash', () => {
  test('at any moment leaves every row that was synced, and no row that was not sent', async () => {
    const anySteps = fc.array(fc.record({ rows: fc.constantFrom(1, 3, 500, 20_000, 70_000), sync: fc.boolean() }), {
      minLength: 1,
      maxLength: 8,
    });
    const property = fc.asyncProperty(anySteps, async (steps) => {
      const path = freshPath();
      await using backend = await openLeveldbBackend({ path });
      await using upload = await backend.openUpload(uploadSpec('k', 'u'));
      let synced = 0;
      for (const { rows, sync } of steps) {
        await upload.append(lineRows(upload.nextRow, rows));
        if (sync) synced = await upload.sync();
      }
      const sent = upload.nextRow;
      const left = await rowsLeft(await crashed(path));
      expect(left).toBeGreaterThanOrEqual(synced);
      expect(left).toBeLessThanOrEqual(sent);
    });
    await fc.assert(property, { numRuns: 15 });
  });

  test('that tears the journal anywhere behind what was synced leaves that', async () => {
    const path = freshPath();
    await using backend = await openLeveldbBackend({ path });
    await using upload = await backend.openUpload(uploadSpec('k', 'u'));
    await upload.append(lineRows(0, 100));
    await upload.sync();
    const safe = (await stat(await onlyFile(path, 'journal'))).size;
    await upload.append(lineRows(100, 50));
    await upload.sync();
    const whole = (await stat(await onlyFile(path, 'journal'))).size;
    for (const length of [safe, safe + 1, safe + 27, safe + 28, (safe + whole) >> 1, whole - 1, whole]) {
      const copy = await crashed(path);
      await truncate(await onlyFile(copy, 'journal'), length);
      expect(await rowsLeft(copy)).toBe(length === whole ? 150 : 100);
    }
    for (const rubbish of [Buffer.alloc(5000), Buffer.from('FRM1 and no more'), Buffer.alloc(300, 0xff)]) {
      const copy = await crashed(path);
      await appendFile(await onlyFile(copy, 'journal'), rubbish);
      expect(await rowsLeft(copy)).toBe(150);
    }
  });

  test('that tears a segment behind what was synced leaves that, and the upload goes on', async () => {
    const path = freshPath();
    await using backend = await openLeveldbBackend({ path });
    await using upload = await backend.openUpload(uploadSpec('k', 'u'));
    await upload.append(lineRows(0, 70_000));
    await upload.sync();
    const safe = (await stat(await onlyFile(path, 'segments'))).size;
    await upload.append(lineRows(70_000, 70_000));
    await upload.sync();
    for (const length of [safe, safe + 63, safe + 64, safe + 500_000]) {
      const copy = await crashed(path);
      await truncate(await onlyFile(copy, 'segments'), length);
      await within(copy, async (again) => {
        await using resumed = await again.openUpload(uploadSpec('k', 'u'));
        expect(resumed.nextRow).toBe(70_000);
        await resumed.append(lineRows(70_000, 10));
      });
      expect(await rowsLeft(copy)).toBe(70_010);
    }
  });

  test('of a recovery that is cut off is recovered from', async () => {
    const path = freshPath();
    await within(path, async (backend) => {
      await using upload = await backend.openUpload(uploadSpec('k', 'u'));
      await upload.append(lineRows(0, 30));
    });
    // A second journal that the recovery had begun.
    const name = await onlyFile(path, 'journal');
    await writeFile(name.replace(/\d+\.journal$/, '99999999.journal'), 'OPTIST');
    expect(await rowsLeft(path)).toBe(30);
  });
});

describe('opening', () => {
  test('a store that is open elsewhere is refused, and says what to do', async () => {
    const path = freshPath();
    await using first = await openLeveldbBackend({ path });
    await save(first, 'k', []);
    await expect(openLeveldbBackend({ path })).rejects.toMatchObject({
      reason: 'BACKEND_LOCKED',
      message: expect.stringContaining('stop the other one') as string,
    });
  });

  test('removes files that nothing has: their deletion was cut off', async () => {
    const path = freshPath();
    await within(path, (backend) => save(backend, 'k', [lineRows(0, 70_000)]));
    await writeFile(join(path, 'segments', '0000000077.seg'), 'left over');
    await within(path, async (backend) => {
      expect(await readdir(join(path, 'segments'))).toHaveLength(1);
      expect(asText(await load(backend, await backend.stat('k')))).toEqual(asText(lineRows(0, 70_000)));
    });
  });

  test('row data without its index is left as it is, and refused', async () => {
    const path = freshPath();
    await within(path, (backend) => save(backend, 'k', [lineRows(0, 70_000)]));
    await rm(join(path, 'index'), { recursive: true });
    await expect(openLeveldbBackend({ path })).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
    expect(await readdir(join(path, 'segments'))).toHaveLength(1);
  });

  test('a folder that can not be made is refused by its name', async () => {
    const path = freshPath();
    await mkdir(folder, { recursive: true });
    await writeFile(path, 'a file');
    await expect(openLeveldbBackend({ path: join(path, 'below') })).rejects.toMatchObject({
      reason: 'BACKEND_UNAVAILABLE',
      message: expect.stringContaining(path) as string,
    });
  });
});

test('bytes written for a byte saved stay under 1.1 in bulk', async () => {
  const path = freshPath();
  await within(path, async (backend) => {
    const batches = Array.from({ length: 20 }, (_, i) => lineRows(i * 20_000, 20_000));
    await save(backend, 'k', batches);
    const stored = (await stat(await onlyFile(path, 'segments'))).size;
    expect(stored / (400_000 * 16)).toBeLessThan(1.1);
  });
});
