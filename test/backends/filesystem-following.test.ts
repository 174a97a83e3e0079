import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openFilesystemBackend } from '../../server/backends/filesystem/filesystem-backend.js';
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
