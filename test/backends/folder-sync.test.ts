import { mkdir, mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test, vi, type MockInstance } from 'vitest';
import { FolderSync } from '../../server/backends/folder-sync.js';

let folder: string;
let sync: MockInstance<FileHandle['sync']>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'optistore-folder-'));
  const file = await open(folder);
  sync = vi.spyOn(Object.getPrototypeOf(file) as FileHandle, 'sync');
  await file.close();
  onTestFinished(async () => {
    sync.mockRestore();
    await rm(folder, { recursive: true });
  });
});

test('those who ask while a sync runs share the next one, which begins after they asked', async () => {
  await using names = new FolderSync(folder);
  const first = names.sync();
  await vi.waitFor(() => expect(sync).toHaveBeenCalledTimes(1));
  await Promise.all([first, names.sync(), names.sync(), names.sync()]);
  expect(sync).toHaveBeenCalledTimes(2);
});

test('a sync that fails is told to all who share it, and the next one is made of the folder opened anew', async () => {
  await using names = new FolderSync(folder);
  await names.sync();
  const opened = sync.mock.contexts[0];
  sync.mockRejectedValueOnce(new Error('EIO'));
  const told = await Promise.allSettled([names.sync(), names.sync()]);
  expect(told.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await names.sync();
  expect(sync.mock.contexts.at(-1)).not.toBe(opened);
});

test('a folder that can not be opened is tried again', async () => {
  const path = join(folder, 'later');
  await using names = new FolderSync(path);
  await expect(names.sync()).rejects.toMatchObject({ code: 'ENOENT' });
  await mkdir(path);
  await names.sync();
  expect(sync).toHaveBeenCalledTimes(1);
});

test('the folder is closed with it', async () => {
  const names = new FolderSync(folder);
  await names.sync();
  const opened = sync.mock.contexts[0] as FileHandle;
  await names[Symbol.asyncDispose]();
  expect(opened.fd).toBe(-1);
});
