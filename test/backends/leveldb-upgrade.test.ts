import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openLeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { all, asText, commit, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';

test('a store of version 0.1 is taken over whole: results, deletions, revisions, uploads and their ends', async () => {
  const path = await mkdtemp(join(tmpdir(), 'optistore-upgrade-'));
  try {
    await cp('test/backends/stores/v0.1', path, { recursive: true });
    for (let start = 0; start < 2; start++) {
      await using backend = await openLeveldbBackend({ path });
      const sizes = { small: 3, large: 5000, twice: 2, early: 5 };
      for (const [key, rowCount] of Object.entries(sizes)) {
        const manifest = await backend.stat(key);
        expect(manifest.revision).toBe(key === 'twice' ? 2n : 1n);
        expect(asText(await load(backend, manifest))).toEqual(asText(lineRows(0, rowCount)));
      }
      const changes = await all(backend.changes({ after: 0n }, RUNNING));
      expect(changes.map(({ key }) => key).sort()).toEqual(['early', 'gone', 'large', 'small', 'twice']);
      expect(await backend.changeNumbers()).toEqual({ floor: 0n, newest: 5n });
      const aborted = backend.openUpload(uploadSpec('aborted', 'aborted'));
      await expect(aborted).rejects.toMatchObject({ reason: 'UPLOAD_ABORTED' });
      await using known = await backend.openUpload(uploadSpec('large', 'large0'));
      expect(known.committed?.revision).toBe(1n);
      await using going = await backend.openUpload(uploadSpec('going', 'going'));
      expect(going.nextRow).toBe(7);
    }
    await using backend = await openLeveldbBackend({ path });
    // The last upload of that store was committed behind a greater number: a new one may not take that number again.
    await save(backend, 'new', [lineRows(0, 5000, 2)]);
    expect(asText(await load(backend, await backend.stat('large')))).toEqual(asText(lineRows(0, 5000)));
    await using going = await backend.openUpload(uploadSpec('going', 'going'));
    expect(asText(await load(backend, await commit(going)))).toEqual(asText(lineRows(0, 7)));
    expect((await save(backend, 'gone', [])).revision).toBe(3n);
  } finally {
    await rm(path, { recursive: true });
  }
});
