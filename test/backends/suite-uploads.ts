import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { ProblemSchema, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import { all, asText, commit, LINE, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';
import type { OpenBackend } from './suite.js';

const HOUR_MS = 3_600_000;

/** Promises about saves in progress. */
export function uploadPromises(open: OpenBackend): void {
  resumePromises(open);
  commitPromises(open);
  endPromises(open);
}

function resumePromises(open: OpenBackend): void {
  test('an upload that was let go is resumed where it stopped', async () => {
    await using opened = await open();
    {
      await using upload = await opened.backend.openUpload(uploadSpec('k', 'u'), RUNNING);
      await upload.append(lineRows(0, 5));
    }
    await using again = await opened.backend.openUpload(uploadSpec('k', 'u', { problem: undefined }), RUNNING);
    expect(again.nextRow).toBe(5);
    expect(again.problem).toEqual(LINE);
    await again.append(lineRows(5, 5));
    expect(asText(await load(opened.backend, await commit(again)))).toEqual(asText(lineRows(0, 10)));
  });

  test('a newer handle fences the older one, and what the older one received is kept', async () => {
    await using opened = await open();
    await using first = await opened.backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    await first.append(lineRows(0, 3));
    await using second = await opened.backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    expect(second.nextRow).toBe(3);
    expect(first.lost.reason).toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
    await expect(first.append(lineRows(3, 1))).rejects.toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
    await expect(first.sync()).rejects.toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
    await expect(commit(first, 3)).rejects.toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
    await second.append(lineRows(3, 1));
    expect((await commit(second)).rowCount).toBe(4n);
  });

  test('an upload is not resumed under another key or with other variables', async () => {
    await using opened = await open();
    await using upload = await opened.backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    await upload.append(lineRows(0, 1));
    const other = create(ProblemSchema, {
      variables: [{ name: 'y', role: VariableRole.DESIGN_VARIABLE, valueType: ValueType.FLOAT64 }],
    });
    for (const spec of [uploadSpec('l', 'u'), uploadSpec('k', 'u', { problem: other })]) {
      await expect(opened.backend.openUpload(spec, RUNNING)).rejects.toMatchObject({ reason: 'UPLOAD_CONFLICT' });
    }
    await upload.append(lineRows(1, 1));
    expect((await commit(upload)).rowCount).toBe(2n);
  });

  test('a new upload needs a problem', async () => {
    await using opened = await open();
    const spec = uploadSpec('k', 'u', { problem: undefined });
    await expect(opened.backend.openUpload(spec, RUNNING)).rejects.toMatchObject({ reason: 'UPLOAD_NOT_FOUND' });
  });
}

function commitPromises(open: OpenBackend): void {
  test('a commit that is repeated gives the same result, also when the upload is opened again', async () => {
    await using opened = await open();
    await using upload = await opened.backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    await upload.append(lineRows(0, 2));
    const first = await commit(upload);
    await using again = await opened.backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    expect(again.committed?.revision).toBe(first.revision);
    expect((await commit(again)).revision).toBe(first.revision);
    await expect(again.append(lineRows(2, 1))).rejects.toMatchObject({ reason: 'UPLOAD_COMMITTED' });
    await expect(commit(again, 3)).rejects.toMatchObject({ reason: 'ROW_COUNT_MISMATCH' });
    await expect(opened.backend.abortUpload('u', RUNNING)).rejects.toMatchObject({ reason: 'UPLOAD_COMMITTED' });
  });

  test('a commit with another row count is refused, and the upload goes on', async () => {
    await using opened = await open();
    await using upload = await opened.backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    await upload.append(lineRows(0, 2));
    await expect(commit(upload, 3)).rejects.toMatchObject({
      reason: 'ROW_COUNT_MISMATCH',
      metadata: { next_row: '2' },
    });
    await expect(opened.backend.stat('k', undefined, RUNNING)).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    await upload.append(lineRows(2, 1));
    expect(asText(await load(opened.backend, await commit(upload)))).toEqual(asText(lineRows(0, 3)));
  });

  test('a commit that comes too late for its expected revision is refused, and loses no rows', async () => {
    await using opened = await open();
    const spec = uploadSpec('k', 'u', { expectedRevision: 0 });
    await using upload = await opened.backend.openUpload(spec, RUNNING);
    await upload.append(lineRows(0, 50_000));
    await save(opened.backend, 'k', [lineRows(0, 1)]);
    await expect(commit(upload)).rejects.toMatchObject({ reason: 'REVISION_MISMATCH', metadata: { revision: '1' } });
    await opened.backend.delete('k', 1, RUNNING);
    const manifest = await commit(upload);
    expect(manifest.revision).toBe(3n);
    expect(asText(await load(opened.backend, manifest))).toEqual(asText(lineRows(0, 50_000)));
  });
}

function endPromises(open: OpenBackend): void {
  test('an aborted upload is gone, and its id is remembered', async () => {
    await using opened = await open();
    await using upload = await opened.backend.openUpload(uploadSpec('k', 'u'), RUNNING);
    await upload.append(lineRows(0, 200_000));
    await upload.sync();
    await opened.backend.abortUpload('u', RUNNING);
    await opened.backend.abortUpload('u', RUNNING);
    expect(upload.lost.reason).toMatchObject({ reason: 'UPLOAD_ABORTED' });
    await expect(upload.append(lineRows(200_000, 1))).rejects.toMatchObject({ reason: 'UPLOAD_ABORTED' });
    await expect(opened.backend.openUpload(uploadSpec('k', 'u'), RUNNING)).rejects.toMatchObject({
      reason: 'UPLOAD_ABORTED',
    });
    expect(await all(opened.backend.uploads({ prefix: '' }, RUNNING))).toEqual([]);
    expect(await opened.backend.stats(RUNNING)).toMatchObject({ sizeBytes: 0, uploadCount: 0 });
  });

  test('an upload that never was is not found', async () => {
    await using opened = await open();
    await expect(opened.backend.abortUpload('u', RUNNING)).rejects.toMatchObject({ reason: 'UPLOAD_NOT_FOUND' });
  });

  test('an upload expires when nothing comes for its time to live, but never while a stream is open', async () => {
    await using opened = await open({ upload_ttl_ms: HOUR_MS });
    await using held = await opened.backend.openUpload(uploadSpec('k', 'held'), RUNNING);
    await held.append(lineRows(0, 1));
    {
      await using left = await opened.backend.openUpload(uploadSpec('k', 'left'), RUNNING);
      await left.append(lineRows(0, 1));
    }
    await opened.sweep(Date.now() + HOUR_MS / 2);
    const expiring = await all(opened.backend.uploads({ prefix: '' }, RUNNING));
    expect(expiring.map(({ uploadId, hasStream }) => [uploadId, hasStream])).toEqual([
      ['held', true],
      ['left', false],
    ]);
    expect(expiring[0]?.expireTimeMs).toBeUndefined();
    expect(Math.abs((expiring[1]?.expireTimeMs ?? 0) - Date.now() - HOUR_MS)).toBeLessThan(60_000);
    await opened.sweep(Date.now() + 2 * HOUR_MS);
    const left = opened.backend.openUpload(uploadSpec('k', 'left'), RUNNING);
    await expect(left).rejects.toMatchObject({ reason: 'UPLOAD_EXPIRED' });
    expect((await commit(held)).rowCount).toBe(1n);
  });

  test('uploads are listed by id, from a prefix of their key, page by page', async () => {
    await using opened = await open();
    for (const [key, id] of [
      ['a/1', 'u3'],
      ['a/2', 'u1'],
      ['b/1', 'u2'],
    ] as const) {
      await using upload = await opened.backend.openUpload(uploadSpec(key, id), RUNNING);
      await upload.append(lineRows(0, 7));
    }
    const ids = async (prefix: string, after?: string) =>
      (await all(opened.backend.uploads({ prefix, ...(after && { after }) }, RUNNING))).map(({ uploadId }) => uploadId);
    expect(await ids('')).toEqual(['u1', 'u2', 'u3']);
    expect(await ids('a/')).toEqual(['u1', 'u3']);
    expect(await ids('', 'u2')).toEqual(['u3']);
    const [first] = await all(opened.backend.uploads({ prefix: '' }, RUNNING));
    expect(first).toMatchObject({ key: 'a/2', durableRowCount: 7 });
  });
}

/** Promises of a backend that is durable. */
export function durabilityPromises(open: OpenBackend): void {
  test('uploads, results, revisions and ended ids are there when it is opened again', async () => {
    await using opened = await open();
    await save(opened.backend, 'k', [lineRows(0, 3)]);
    await save(opened.backend, 'k', [lineRows(0, 300_000)]);
    await save(opened.backend, 'gone', [lineRows(0, 3)]);
    await opened.backend.delete('gone', undefined, RUNNING);
    for (const id of ['aborted', 'going-on']) {
      await using upload = await opened.backend.openUpload(uploadSpec('k', id), RUNNING);
      await upload.append(lineRows(0, 100_000));
      for (let row = 100_000; row < 100_100; row++) await upload.append(lineRows(row, 1));
    }
    await opened.backend.abortUpload('aborted', RUNNING);
    const before = await opened.backend.stats(RUNNING);
    await opened.reopen();
    const { backend } = opened;
    expect(await backend.stats(RUNNING)).toEqual(before);
    expect(asText(await load(backend, await backend.stat('k', 2, RUNNING)))).toEqual(asText(lineRows(0, 300_000)));
    expect(asText(await load(backend, await backend.stat('k', 1, RUNNING)))).toEqual(asText(lineRows(0, 3)));
    const aborted = backend.openUpload(uploadSpec('k', 'aborted'), RUNNING);
    await expect(aborted).rejects.toMatchObject({ reason: 'UPLOAD_ABORTED' });
    expect((await save(backend, 'gone', [])).revision).toBe(3n);
    await using upload = await backend.openUpload(uploadSpec('k', 'going-on'), RUNNING);
    expect(upload.nextRow).toBe(100_100);
    expect(asText(await load(backend, await commit(upload)))).toEqual(asText(lineRows(0, 100_100)));
  });
}
