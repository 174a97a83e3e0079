import { cp, mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openFilesystemBackend, type FilesystemBackend } from '../../server/backends/filesystem/filesystem-backend.js';
import { all, asText, lineRows, RUNNING, uploadSpec } from './runs.js';

test('a damaged byte in the frames of an upload is RESULT_CORRUPT to who reads along, and no row is made up', async () => {
  const base_path = await mkdtemp(join(tmpdir(), 'optistore-following-'));
  try {
    await using backend = await openFilesystemBackend({ base_path });
    await using upload = await backend.openUpload(uploadSpec('k', 'u'));
    for (const firstRow of [0, 50_000]) {
      await upload.append(lineRows(firstRow, 50_000));
      await upload.sync();
    }
    const read = async () => {
      const view = await backend.viewUpload('u');
      if (view.state !== 'open') throw new Error(`the upload is ${view.state}`);
      return all(view.read({ columns: [0, 1], firstRow: 50_000 }, RUNNING));
    };
    expect(asText((await read())[0])).toEqual(asText(lineRows(50_000, 50_000)));
    const names = await readdir(join(base_path, 'uploads'), { recursive: true });
    const frames = names.find((name) => name.endsWith('rows.frames')) ?? '';
    await using file = await open(join(base_path, 'uploads', frames), 'r+');
    const at = (await file.stat()).size - 500;
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
    await file.write(Buffer.of((buffer[0] ?? 0) ^ 1), 0, 1, at);
    await expect(read()).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
  } finally {
    await rm(base_path, { recursive: true });
  }
});

test('rows that were written and whose sync nobody has vouched for are shown to nobody, until who goes on has made them durable', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'optistore-following-'));
  const [base_path, left] = [join(folder, 'store'), join(folder, 'left')];
  try {
    await using writing = await openFilesystemBackend({ base_path });
    await using beside = await openFilesystemBackend({ base_path });
    await using upload = await writing.openUpload(uploadSpec('k', 'u'));
    await upload.append(lineRows(0, 10));
    await upload.sync();
    await upload.append(lineRows(10, 100_000));
    // When it returns the one before is written, and not synced.
    await upload.append(lineRows(100_010, 100_000));
    const shown = async (backend: FilesystemBackend) => (await backend.viewUpload('u')).manifest.rowCount;
    expect(await shown(beside)).toBe(10n);
    // As a process leaves it that ends now, or whose sync has failed.
    await cp(base_path, left, { recursive: true });
    await using after = await openFilesystemBackend({ base_path: left });
    expect(await shown(after)).toBe(10n);
    await using resumed = await after.openUpload(uploadSpec('k', 'u'));
    expect(resumed.nextRow).toBeGreaterThan(10);
    expect(await shown(after)).toBe(BigInt(resumed.nextRow));
    await upload.sync();
    expect(await shown(beside)).toBe(200_010n);
  } finally {
    await rm(folder, { recursive: true });
  }
});
