import { describe, expect, test } from 'vitest';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { all, asText, commit, lineRows, load, save, uploadSpec } from './runs.js';
import { backendSuite, type OpenBackend } from './suite.js';

const open: OpenBackend = async (times = {}) => {
  const backend = new MemoryBackend({ max_memory_mb: 256, ...times });
  return {
    backend,
    sweep: (nowMs) => backend.sweep(nowMs),
    reopen: () => Promise.reject(new Error('memory does not outlive its process')),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
  };
};

backendSuite('memory', open, { durable: false });

describe('memory: its limit', () => {
  test('rows over the limit are refused; the upload goes on when there is room again', async () => {
    await using backend = new MemoryBackend({ max_memory_mb: 1, revision_retention_ms: 0 });
    await save(backend, 'first', [lineRows(0, 40_000)]);
    await using upload = await backend.openUpload(uploadSpec('second', 'u'));
    await upload.append(lineRows(0, 20_000));
    await expect(upload.append(lineRows(20_000, 20_000))).rejects.toMatchObject({ reason: 'MEMORY_LIMIT', code: 8 });
    expect(upload.nextRow).toBe(20_000);
    await backend.delete('first', undefined);
    await backend.sweep(Date.now() + 1);
    await upload.append(lineRows(20_000, 20_000));
    expect(asText(await load(backend, await commit(upload)))).toEqual(asText(lineRows(0, 40_000)));
  });

  test('what is held is counted, and all of it is given back', async () => {
    await using backend = new MemoryBackend({ max_memory_mb: 64, revision_retention_ms: 0 });
    {
      await using upload = await backend.openUpload(uploadSpec('k', 'u'));
      for (let row = 0; row < 5000; row++) await upload.append(lineRows(row, 1));
      const { sizeBytes } = await backend.stats();
      expect(sizeBytes).toBeGreaterThanOrEqual(5000 * 16);
      expect(sizeBytes).toBeLessThan(5000 * 16 * 1.2);
    }
    await backend.abortUpload('u');
    await save(backend, 'k', [lineRows(0, 5000)]);
    await backend.delete('k', undefined);
    await backend.sweep(Date.now() + 1);
    expect((await backend.stats()).sizeBytes).toBe(0);
    expect(await all(backend.uploads({ prefix: '' }))).toEqual([]);
  });
});
