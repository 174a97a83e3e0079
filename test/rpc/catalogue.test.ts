import { readFile } from 'node:fs/promises';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { beforeAll, describe, expect, test } from 'vitest';
import { Backend, Outcome, ResultState, ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import {
  BackendState,
  GetResultRequestSchema,
  GetStatusRequestSchema,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { type OptistoreClient } from '../../clients/typescript/index.js';
import { all } from '../backends/runs.js';
import { rawLoad, saveRun } from './raw-load.js';
import { MIXED, mixedRun } from './sample-runs.js';
import { nextMillisecond, PROBLEM, RawSave, rowsFrom, sharedDaemon } from './wire.js';

const { daemon, client, channel } = await sharedDaemon();

async function put(key: string, tags: Record<string, string> = {}): Promise<void> {
  const writer = await client.save(key, PROBLEM, { tags });
  await writer.commit();
  await nextMillisecond();
}

async function keysOf(options: Parameters<OptistoreClient['listResults']>[0]): Promise<string[]> {
  return (await all(client.listResults(options))).map((result) => result.key);
}

describe('ListResults', () => {
  // In the order of their UTF-8, which is neither that of UTF-16 nor that of a dictionary.
  const KEYS = ['list/A', 'list/a', 'list/a/b', 'list/ab', 'list/z', 'list/ä', 'list/\uffee', 'list/🙂'];

  beforeAll(async () => {
    for (const [i, key] of [...KEYS].reverse().entries())
      await put(key, { solver: i % 2 === 0 ? 'even' : 'odd', ...(i < 3 && { early: 'yes' }) });
    await put('lis');
    await put('other/list/a');
  });

  test.each([
    ['list/', KEYS],
    ['list/a', ['list/a', 'list/a/b', 'list/ab']],
    ['list/🙂', ['list/🙂']],
    ['list/nothing', []],
    ['nothing', []],
    ['list/a/b/c', []],
  ])('finds by the prefix %j what begins with it', async (prefix, keys) => {
    expect(await keysOf({ prefix })).toEqual(keys);
  });

  test('finds all by an empty prefix', async () => {
    expect(await keysOf({})).toEqual(expect.arrayContaining(['lis', ...KEYS, 'other/list/a']));
  });

  test('finds what has all the tags asked for', async () => {
    const byTags = async (tags: Record<string, string>) => (await keysOf({ prefix: 'list/', tags })).length;
    expect(await byTags({ solver: 'odd' })).toBe(4);
    expect(await byTags({ solver: 'even', early: 'yes' })).toBe(2);
    expect(await byTags({ solver: 'Even' })).toBe(0);
    expect(await byTags({ early: '' })).toBe(0);
    expect(await byTags({ unknown: 'x' })).toBe(0);
    // A name that every object of JavaScript has.
    expect(await byTags({ constructor: 'x' })).toBe(0);
  });

  test.each(['__proto__', 'constructor', 'toString'])('keeps and finds the tag %s as any other', async (name) => {
    // Not a literal: there, __proto__ means something else.
    const tags = Object.fromEntries([[name, 'v']]);
    await put(`odd-tag/${name}`, tags);
    expect(await keysOf({ prefix: 'odd-tag/', tags })).toEqual([`odd-tag/${name}`]);
  });

  test('gives committed results only: no uploads in progress, no deleted ones', async () => {
    const open = await client.save('states/open', PROBLEM);
    await open.append({ x: [1], label: ['a'] });
    await open.flush();
    await put('states/there');
    await put('states/deleted');
    await client.deleteResult('states/deleted');
    const results = await all(client.listResults({ prefix: 'states/' }));
    expect(results.map(({ key, state }) => [key, state])).toEqual([['states/there', ResultState.COMMITTED]]);
    await client.abortUpload(open.uploadId);
  });

  test.each([
    ['', KEYS],
    ['key', KEYS],
    ['key desc', [...KEYS].reverse()],
    ['commit_time', [...KEYS].reverse()],
    ['commit_time desc', KEYS],
    ['update_time', [...KEYS].reverse()],
    ['update_time desc', KEYS],
  ])('gives them in the order %j, also in pages', async (orderBy, keys) => {
    expect(await keysOf({ prefix: 'list/', orderBy })).toEqual(keys);
    for (const pageSize of [1, 3, 8]) expect(await keysOf({ prefix: 'list/', orderBy, pageSize })).toEqual(keys);
  });

  test('puts a result that is saved anew where its new time belongs', async () => {
    for (const key of ['again/a', 'again/b', 'again/a']) await put(key);
    expect(await keysOf({ prefix: 'again/', orderBy: 'commit_time' })).toEqual(['again/b', 'again/a']);
  });

  test.each(['size', 'key up', 'KEY', 'key desc desc', 'key,commit_time'])('refuses the order %j', async (orderBy) => {
    await expect(keysOf({ orderBy })).rejects.toMatchObject({ reason: 'REQUEST_INVALID', code: 3 });
  });

  test('refuses a page of more than 1,000', async () => {
    expect((await keysOf({ prefix: 'list/', pageSize: 1000 })).length).toBe(KEYS.length);
    await expect(keysOf({ pageSize: 1001 })).rejects.toMatchObject({ reason: 'REQUEST_INVALID', code: 3 });
  });

  test('leaves the summaries of columns out unless they are asked for', async () => {
    await saveRun(daemon.address, 'views', MIXED, mixedRun(5));
    const columns = async (view?: ResultView) =>
      (await all(client.listResults({ prefix: 'views', ...(view !== undefined && { view }) })))[0]?.columns.length;
    expect(await columns()).toBe(0);
    expect(await columns(ResultView.BASIC)).toBe(0);
    expect(await columns(ResultView.FULL)).toBe(4);
  });

  test('finds every key by its prefix, also one with the last character of Unicode', async () => {
    const key = 'last/\u{10ffff}\u{10ffff}';
    await put(key);
    expect(await keysOf({ prefix: 'last/' })).toEqual([key]);
    expect(await keysOf({ prefix: 'last/', orderBy: 'key desc' })).toEqual([key]);
  });
});

describe('GetResult', () => {
  const get = async (request: MessageInitShape<typeof GetResultRequestSchema>) =>
    (await channel.unary('getResult', create(GetResultRequestSchema, request))).result;

  test('gives all that the save said, and what the rows hold', async () => {
    const before = Date.now();
    const writer = await client.save('get/a', PROBLEM, {
      uploadId: 'get-a',
      tags: { team: 'beams' },
      attributes: { seed: 7, nested: { list: [1, 'two', null, true] } },
      description: 'a run\nof two lines',
    });
    await writer.append({ x: [2, NaN, -1, null], label: ['a', null, '', 'b'] });
    await writer.commit({ outcome: Outcome.STOPPED });
    const result = await get({ key: 'get/a' });
    expect(result).toMatchObject({
      ...{ key: 'get/a', revision: 1n, rowCount: 4n, uploadId: 'get-a', description: 'a run\nof two lines' },
      tags: { team: 'beams' },
      attributes: { seed: 7, nested: { list: [1, 'two', null, true] } },
      ...{ state: ResultState.COMMITTED, outcome: Outcome.STOPPED },
      problem: { name: 'test', variables: [{ name: 'x' }, { name: 'label' }] },
      columns: [
        { name: 'x', min: -1, max: 2, missingCount: 1n, nanCount: 1n },
        { name: 'label', missingCount: 1n, nanCount: 0n },
      ],
    });
    expect(result?.sizeBytes).toBeGreaterThan(0n);
    const times = [result?.createTime, result?.commitTime, result?.updateTime].map((time) => time && timestampMs(time));
    expect([...times].sort()).toEqual(times);
    for (const time of times) expect(Math.abs((time ?? 0) - before)).toBeLessThan(60_000);
  });

  test('gives the summaries in the full view, which is the default, and all else in the basic one', async () => {
    await saveRun(daemon.address, 'get/views', MIXED, mixedRun(5));
    const full = await get({ key: 'get/views' });
    expect(await get({ key: 'get/views', view: ResultView.FULL })).toEqual(full);
    expect(full?.columns.map((column) => column.name)).toEqual(['f', 'i', 'b', 's']);
    expect(full?.placements).toMatchObject([{ backend: Backend.PRIMARY, revision: 1n }]);
    const basic = await get({ key: 'get/views', view: ResultView.BASIC });
    expect(basic).toEqual({ ...full, columns: [], placements: [] });
  });

  test.each([
    ['a key that never was', 'get/nothing', 'RESULT_NOT_FOUND', 5],
    ['a part of a key', 'get', 'RESULT_NOT_FOUND', 5],
    ['a key that is none', 'get/', 'KEY_INVALID', 3],
    ['no key', '', 'KEY_INVALID', 3],
  ])('refuses %s', async (_, key, reason, code) => {
    await expect(get({ key })).rejects.toMatchObject({ reason, code });
  });
});

describe('DeleteResult', () => {
  test('deletes, leaves a revision of its own, and the next save goes on behind it', async () => {
    await put('delete/a');
    expect(await client.deleteResult('delete/a')).toBe(2n);
    await expect(client.getResult('delete/a')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND', code: 5 });
    await expect(client.load('delete/a').toColumns()).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    expect(await keysOf({ prefix: 'delete/a' })).toEqual([]);
    await put('delete/a');
    expect((await client.getResult('delete/a')).revision).toBe(3n);
    expect(await client.deleteResult('delete/a')).toBe(4n);
  });

  test('a second time finds nothing, and does not raise the revision', async () => {
    await put('delete/twice');
    await client.deleteResult('delete/twice');
    await expect(client.deleteResult('delete/twice')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND', code: 5 });
    await put('delete/twice');
    expect((await client.getResult('delete/twice')).revision).toBe(3n);
  });

  test('refuses another revision than the expected one, and deletes nothing', async () => {
    for (let i = 0; i < 2; i++) await saveRun(daemon.address, 'delete/expected', MIXED, mixedRun(3));
    for (const expectedRevision of [0n, 1n, 3n]) {
      await expect(client.deleteResult('delete/expected', { expectedRevision })).rejects.toMatchObject({
        ...{ reason: 'REVISION_MISMATCH', code: 10 },
        metadata: { revision: '2' },
      });
    }
    expect((await rawLoad(channel, { key: 'delete/expected' })).rows().rowCount).toBe(3);
    expect(await client.deleteResult('delete/expected', { expectedRevision: 2n })).toBe(3n);
  });

  test.each([
    ['a key that never was', 'delete/nothing', 'RESULT_NOT_FOUND', 5],
    ['a key that is none', 'delete//x', 'KEY_INVALID', 3],
  ])('refuses %s', async (_, key, reason, code) => {
    await expect(client.deleteResult(key)).rejects.toMatchObject({ reason, code });
  });

  test('a key that is deleted must not exist, where a save says so', async () => {
    await put('delete/again');
    await expect(client.save('delete/again', PROBLEM, { expectedRevision: 0n })).rejects.toMatchObject({
      reason: 'REVISION_MISMATCH',
    });
    await client.deleteResult('delete/again');
    const writer = await client.save('delete/again', PROBLEM, { expectedRevision: 0n });
    expect((await writer.commit()).revision).toBe(3n);
  });
});

describe('uploads', () => {
  async function begin(uploadId: string, rows: number): Promise<RawSave> {
    const save = new RawSave(daemon.address);
    await save.send({ case: 'open', value: { key: `up/${uploadId}`, uploadId, problem: PROBLEM } }).answer('opened');
    save.send({ case: 'batch', value: rowsFrom(0, rows) }).send({ case: 'flush', value: {} });
    await save.answer('ack');
    return save;
  }

  test('in progress are listed with their durable rows, with a stream and without', async () => {
    const connected = await begin('u2', 5);
    await (await begin('u1', 3)).endAndWait();
    const uploads = await all(client.listUploads({ prefix: 'up/u' }));
    expect(uploads).toMatchObject([
      { uploadId: 'u1', key: 'up/u1', durableRowCount: 3n, hasStream: false },
      { uploadId: 'u2', key: 'up/u2', durableRowCount: 5n, hasStream: true },
    ]);
    const [left, held] = uploads;
    expect(held?.expireTime).toBeUndefined();
    // 30 days behind its last row.
    const [updated, expires] = [left?.updateTime, left?.expireTime].map((time) => time && timestampMs(time));
    expect((expires ?? 0) - (updated ?? 0)).toBe(30 * 24 * 3_600_000);
    expect(await all(client.listUploads({ prefix: 'up/u1' }))).toHaveLength(1);
    expect(await all(client.listUploads({ prefix: 'u1' }))).toHaveLength(0);
    connected.cancel();
  });

  test('that are committed or aborted are no longer listed', async () => {
    const committed = await begin('done', 1);
    committed.send({ case: 'commit', value: { rowCount: 1n } });
    await committed.answer('committed');
    const aborted = await begin('given-up', 1);
    await client.abortUpload('given-up');
    expect(await aborted.error()).toMatchObject({ reason: 'UPLOAD_ABORTED', code: 5 });
    expect(await all(client.listUploads({ prefix: 'up/done' }))).toEqual([]);
    expect(await all(client.listUploads({ prefix: 'up/given-up' }))).toEqual([]);
    await expect(client.getResult('up/given-up')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    await committed.endAndWait();
  });

  test('are aborted once; again does no harm, and their id is remembered over a restart', async () => {
    (await begin('again', 2)).cancel();
    await client.abortUpload('again');
    await client.abortUpload('again');
    await daemon.process.stop('SIGTERM');
    await daemon.restart();
    await expect(client.save('up/again', PROBLEM, { uploadId: 'again' })).rejects.toMatchObject({
      ...{ reason: 'UPLOAD_ABORTED', code: 5 },
    });
  });

  test.each([
    ['an unknown one', 'never-was', 'UPLOAD_NOT_FOUND', 5],
    ['an id that is none', 'a/b', 'REQUEST_INVALID', 3],
    ['no id', '', 'REQUEST_INVALID', 3],
  ])('AbortUpload refuses %s', async (_, id, reason, code) => {
    await expect(client.abortUpload(id)).rejects.toMatchObject({ reason, code });
  });

  test('AbortUpload refuses one that is committed, and the result stays', async () => {
    const writer = await client.save('up/kept', PROBLEM, { uploadId: 'kept' });
    await writer.commit();
    await expect(client.abortUpload('kept')).rejects.toMatchObject({ reason: 'UPLOAD_COMMITTED', code: 9 });
    expect((await client.getResult('up/kept')).revision).toBe(1n);
  });
});

describe('GetStatus', () => {
  const status = () => channel.unary('getStatus', create(GetStatusRequestSchema));

  test('tells version, start, store and cache', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    const is = await status();
    expect(is).toMatchObject({
      version,
      backends: [
        { role: Backend.PRIMARY, type: 'leveldb', state: BackendState.READY, message: '' },
        { role: Backend.CACHE, type: 'memory', state: BackendState.READY, message: '', resultCount: 0n },
      ],
      cache: { limitBytes: BigInt(100 << 20) },
    });
    const startedAgoMs = Date.now() - (is.startTime === undefined ? 0 : timestampMs(is.startTime));
    expect(startedAgoMs).toBeGreaterThanOrEqual(0);
    expect(startedAgoMs).toBeLessThan(600_000);
  });

  test('counts results, their bytes, uploads and streams', async () => {
    const before = await status();
    await saveRun(daemon.address, 'status/a', MIXED, mixedRun(20_000));
    const save = new RawSave(daemon.address);
    await save.send({ case: 'open', value: { key: 'status/b', uploadId: 's', problem: PROBLEM } }).answer('opened');
    const during = await status();
    expect(during.uploadCount - before.uploadCount).toBe(1n);
    expect(during.streamCount - before.streamCount).toBe(1n);
    const [was, is] = [before.backends[0], during.backends[0]];
    expect((is?.resultCount ?? 0n) - (was?.resultCount ?? 0n)).toBe(1n);
    const { sizeBytes } = await client.getResult('status/a');
    expect((is?.sizeBytes ?? 0n) - (was?.sizeBytes ?? 0n)).toBe(sizeBytes);
    await client.abortUpload('s');
    await save.error();
    const after = await status();
    expect([after.uploadCount, after.streamCount]).toEqual([before.uploadCount, before.streamCount]);
  });

  test('counts the hits and misses of the cache', async () => {
    await saveRun(daemon.address, 'status/cached', MIXED, mixedRun(100));
    const before = (await status()).cache;
    for (let i = 0; i < 3; i++) await rawLoad(channel, { key: 'status/cached' });
    const after = (await status()).cache;
    expect((after?.missCount ?? 0n) - (before?.missCount ?? 0n)).toBe(1n);
    expect((after?.hitCount ?? 0n) - (before?.hitCount ?? 0n)).toBe(2n);
    expect(after?.sizeBytes).toBeGreaterThan(0n);
  });
});
