import { appendFile, cp, mkdtemp, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StorageBackend } from '../../server/backends/backend.js';
import { FRAME_HEADER_BYTES } from '../../server/backends/blocks/frame-format.js';
import { all, asText, commit, lineRows, load, RUNNING, uploadSpec } from './runs.js';

/** How a store in a folder is opened, and where its rows lie before their commit. */
export interface CrashedStore<Backend extends StorageBackend> {
  open(path: string): Promise<Backend>;
  /** The one file that acks of a store's only upload rest on. */
  ackedFile(path: string): Promise<string>;
  /** Takes out of a copy what the process that is killed would not have left. */
  afterKill?(path: string): Promise<void>;
}

/** Folders of stores, as they are and as a crash would leave them. */
export class CrashFolders<Backend extends StorageBackend> {
  private folder = '';
  private number = 0;

  /** To be made in a test file: the folders go at its end. */
  constructor(readonly store: CrashedStore<Backend>) {
    beforeAll(async () => {
      this.folder = await mkdtemp(join(tmpdir(), 'optistore-crash-'));
    });
    afterAll(() => rm(this.folder, { recursive: true }));
  }

  /** Where there is no store yet. */
  fresh(): string {
    return join(this.folder, `store-${this.number++}`);
  }

  /** What a crash would leave now: the files as they are, without closing anything. */
  async crashed(path: string): Promise<string> {
    const copy = this.fresh();
    await cp(path, copy, { recursive: true, verbatimSymlinks: true });
    await this.store.afterKill?.(copy);
    return copy;
  }

  /** Acts on a store, and closes it. */
  async within<T>(path: string, act: (backend: Backend) => Promise<T>): Promise<T> {
    await using backend = await this.store.open(path);
    return await act(backend);
  }

  /** Commits what is left of an upload, and checks that it is the beginning of the run. */
  rowsLeft(path: string): Promise<number> {
    return this.within(path, async (backend) => {
      await using upload = await backend.openUpload(uploadSpec('k', 'u'), RUNNING);
      const rows = upload.nextRow;
      const manifest = await commit(upload);
      expect(asText(await load(backend, manifest))).toEqual(rows === 0 ? undefined : asText(lineRows(0, rows)));
      return rows;
    });
  }
}

/** What a store in files promises of rows that were synced before a crash. */
export function crashPromises<Backend extends StorageBackend>(folders: CrashFolders<Backend>): void {
  const { store } = folders;

  test('at any moment leaves every row that was synced, and no row that was not sent', async () => {
    const anySteps = fc.array(fc.record({ rows: fc.constantFrom(1, 3, 500, 20_000, 70_000), sync: fc.boolean() }), {
      minLength: 1,
      maxLength: 8,
    });
    const property = fc.asyncProperty(anySteps, async (steps) => {
      const path = folders.fresh();
      await using backend = await store.open(path);
      await using upload = await backend.openUpload(uploadSpec('k', 'u'), RUNNING);
      let synced = 0;
      for (const { rows, sync } of steps) {
        await upload.append(lineRows(upload.nextRow, rows));
        if (sync) synced = await upload.sync();
      }
      const sent = upload.nextRow;
      const left = await folders.rowsLeft(await folders.crashed(path));
      expect(left).toBeGreaterThanOrEqual(synced);
      expect(left).toBeLessThanOrEqual(sent);
    });
    await fc.assert(property, { numRuns: 15 });
  });

  test('leaves uploads that are listed with times that can be sent: whole milliseconds', async () => {
    const path = folders.fresh();
    await using backend = await store.open(path);
    await using upload = await backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    await upload.append(lineRows(0, 70_000));
    await upload.sync();
    // A file's own time is finer than that.
    await folders.within(await folders.crashed(path), async (again) => {
      const [state] = await all(again.uploads({ prefix: '' }, RUNNING));
      expect(state).toMatchObject({ uploadId: 'u', durableRowCount: 70_000 });
      for (const time of [state?.createTimeMs, state?.updateTimeMs, state?.expireTimeMs])
        expect(Number.isInteger(time ?? 0)).toBe(true);
    });
  });

  test('that tears the rows of an upload anywhere behind what was synced leaves that', async () => {
    const path = folders.fresh();
    await using backend = await store.open(path);
    await using upload = await backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    const sizeNow = async () => (await stat(await store.ackedFile(path))).size;
    await upload.append(lineRows(0, 100));
    await upload.sync();
    const safe = await sizeNow();
    await upload.append(lineRows(100, 50));
    await upload.sync();
    // Behind the rows stands that they are durable.
    const whole = (await sizeNow()) - FRAME_HEADER_BYTES;
    for (const length of [safe, safe + 1, safe + 27, safe + 28, (safe + whole) >> 1, whole - 1, whole]) {
      const copy = await folders.crashed(path);
      await truncate(await store.ackedFile(copy), length);
      expect(await folders.rowsLeft(copy)).toBe(length === whole ? 150 : 100);
    }
    for (const rubbish of [Buffer.alloc(5000), Buffer.from('FRM1 and no more'), Buffer.alloc(300, 0xff)]) {
      const copy = await folders.crashed(path);
      await appendFile(await store.ackedFile(copy), rubbish);
      expect(await folders.rowsLeft(copy)).toBe(150);
    }
  });
}
