import { setTimeout } from 'node:timers/promises';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import {
  AbortUploadRequestSchema,
  BackendState,
  GetResultRequestSchema,
  ListResultsRequestSchema,
  ListUploadsRequestSchema,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { Channel } from '../../clients/typescript/channel.js';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { PROBLEM, TestDaemon } from './wire.js';

let daemon: TestDaemon;
let client: OptistoreClient;
let channel: Channel;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  client = createClient({ address: daemon.address, retryMs: 0 });
  channel = new Channel(daemon.address);
});

afterAll(async () => {
  client.close();
  channel.close();
  await daemon[Symbol.asyncDispose]();
});

async function save(key: string, tags: Record<string, string> = {}): Promise<void> {
  const writer = await client.save(key, PROBLEM, { tags });
  await writer.append({ x: [1, NaN, 3], label: ['a', null, ''] });
  await writer.commit();
  // Times are in milliseconds; equal ones are ordered by key.
  await setTimeout(2);
}

const page = (request: MessageInitShape<typeof ListResultsRequestSchema>) =>
  channel.unary('listResults', create(ListResultsRequestSchema, request));

async function listed(options: Parameters<OptistoreClient['listResults']>[0]): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of client.listResults(options)) keys.push(key);
  return keys;
}

describe('ListResults', () => {
  test('lists by prefix, by tags, and by key or time in both directions', async () => {
    for (const key of ['order/b', 'order/a', 'order/c']) await save(key, { solver: key.slice(-1), all: 'yes' });
    await save('order/b', { solver: 'b' });
    expect(await listed({ prefix: 'order/' })).toEqual(['order/a', 'order/b', 'order/c']);
    expect(await listed({ prefix: 'order/', orderBy: 'key desc' })).toEqual(['order/c', 'order/b', 'order/a']);
    expect(await listed({ prefix: 'order/', orderBy: 'commit_time' })).toEqual(['order/a', 'order/c', 'order/b']);
    expect(await listed({ prefix: 'order/', orderBy: 'update_time desc' })).toEqual(['order/b', 'order/c', 'order/a']);
    expect(await listed({ prefix: 'order/', tags: { all: 'yes' } })).toEqual(['order/a', 'order/c']);
    expect(await listed({ prefix: 'order/', tags: { all: 'yes', solver: 'c' } })).toEqual(['order/c']);
  });

  test.each(['key', 'key desc', 'commit_time', 'commit_time desc'])(
    'has pages by %s that stay right while results are added and deleted',
    async (orderBy) => {
      const prefix = `pages-${orderBy.replace(' ', '-')}/`;
      const stay = Array.from({ length: 9 }, (_, i) => `${prefix}${i}`);
      for (const key of stay) await save(key);
      const seen: string[] = [];
      let pageToken = '';
      for (let number = 0; ; number++) {
        const { results, nextPageToken } = await page({ prefix, orderBy, pageSize: 2, pageToken });
        expect(results.length).toBeLessThanOrEqual(2);
        seen.push(...results.map(({ key }) => key));
        // One comes before, one behind, and the last of this page goes: its token names a place, not a result.
        await save(`${prefix}!${number}`);
        await save(`${prefix}~${number}`);
        if (number === 1) await client.deleteResult(seen.at(-1) ?? '');
        pageToken = nextPageToken;
        if (pageToken === '' || number > 40) break;
      }
      const ofStay = seen.filter((key) => stay.includes(key));
      expect(ofStay).toEqual(orderBy.endsWith('desc') ? [...stay].reverse() : stay);
      expect(new Set(seen).size).toBe(seen.length);
    },
  );

  test('shows BASIC results unless asked, without summaries of the columns', async () => {
    await save('view/1');
    const [basic] = (await page({ prefix: 'view/' })).results;
    expect(basic).toMatchObject({ key: 'view/1', rowCount: 3n, columns: [] });
    const [full] = (await page({ prefix: 'view/', view: ResultView.FULL })).results;
    expect(full?.columns[0]).toMatchObject({ name: 'x', min: 1, max: 3, nanCount: 1n, missingCount: 0n });
    expect(full?.columns[1]).toMatchObject({ name: 'label', missingCount: 1n });
  });

  test('refuses what it can not do', async () => {
    for (const key of ['token/1', 'token/2', 'token/3']) await save(key);
    const { nextPageToken } = await page({ prefix: 'token/', pageSize: 1, orderBy: 'commit_time' });
    const mark = (JSON.parse(Buffer.from(nextPageToken, 'base64url').toString()) as string[])[0];
    const forged = (...place: unknown[]) => Buffer.from(JSON.stringify([mark, ...place])).toString('base64url');
    for (const pageToken of [
      'rubbish',
      nextPageToken.slice(1),
      forged('token/1', 'soon'),
      forged('token/1'),
      forged(1, 2),
    ]) {
      const refused = page({ prefix: 'token/', pageSize: 1, orderBy: 'commit_time', pageToken });
      await expect(refused).rejects.toMatchObject({ reason: 'PAGE_TOKEN_INVALID', code: 3 });
    }
    const other = page({ prefix: 'other/', pageToken: nextPageToken });
    await expect(other).rejects.toMatchObject({ reason: 'PAGE_TOKEN_INVALID', code: 3 });
    for (const request of [{ orderBy: 'size' }, { orderBy: 'key up' }, { pageSize: 1001 }]) {
      await expect(page(request)).rejects.toMatchObject({ reason: 'REQUEST_INVALID', code: 3 });
    }
  });
});

describe('GetResult', () => {
  test('gives all that is known of a result', async () => {
    const writer = await client.save('got', PROBLEM, {
      tags: { a: 'b' },
      description: 'why',
      attributes: { seed: 3 },
      uploadId: 'got-1',
    });
    await writer.append({ x: [2], label: ['ä'] });
    await writer.commit();
    const result = await client.getResult('got');
    expect(result).toMatchObject({ tags: { a: 'b' }, description: 'why', attributes: { seed: 3 }, uploadId: 'got-1' });
    expect(result.problem).toEqual(PROBLEM);
    expect(result.commitTime).toBeDefined();
  });

  test('refuses a key that is wrong, absent or deleted', async () => {
    await save('gone');
    await client.deleteResult('gone');
    const get = (key: string) => channel.unary('getResult', create(GetResultRequestSchema, { key }));
    await expect(get('a//b')).rejects.toMatchObject({ reason: 'KEY_INVALID', code: 3 });
    await expect(get('never')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND', code: 5 });
    await expect(get('gone')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND', code: 5 });
  });
});

describe('DeleteResult', () => {
  test('deletes the revision that is expected, and no other', async () => {
    await save('delete/1');
    const wrong = client.deleteResult('delete/1', { expectedRevision: 5n });
    await expect(wrong).rejects.toMatchObject({ reason: 'REVISION_MISMATCH', code: 10, metadata: { revision: '1' } });
    expect(await client.deleteResult('delete/1', { expectedRevision: 1n })).toBe(2n);
    await expect(client.deleteResult('delete/1')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND', code: 5 });
    await save('delete/1');
    expect((await client.getResult('delete/1')).revision).toBe(3n);
  });
});

describe('ListUploads and AbortUpload', () => {
  test('show saves in progress, in pages, and end them', async () => {
    const ids = ['up-1', 'up-2', 'up-3'];
    for (const uploadId of ids) {
      const writer = await client.save(`uploads/${uploadId}`, PROBLEM, { uploadId });
      await writer.append({ x: [1], label: ['a'] });
      await writer.close();
    }
    const uploads = [];
    for await (const upload of client.listUploads({ prefix: 'uploads/' })) uploads.push(upload);
    expect(uploads.map(({ uploadId }) => uploadId)).toEqual(ids);
    expect(uploads[0]).toMatchObject({ key: 'uploads/up-1', durableRowCount: 1n });
    const request = create(ListUploadsRequestSchema, { prefix: 'uploads/', pageSize: 2 });
    const first = await channel.unary('listUploads', request);
    const rest = await channel.unary('listUploads', { ...request, pageToken: first.nextPageToken });
    expect([...first.uploads, ...rest.uploads].map(({ uploadId }) => uploadId)).toEqual(ids);
    expect(rest.nextPageToken).toBe('');
    expect((await client.getStatus()).uploadCount).toBe(3n);

    for (const uploadId of [...ids, 'up-1']) await client.abortUpload(uploadId);
    expect((await client.getStatus()).uploadCount).toBe(0n);
    const resumed = client.save('uploads/up-1', PROBLEM, { uploadId: 'up-1' });
    await expect(resumed).rejects.toMatchObject({ reason: 'UPLOAD_ABORTED', code: 5 });
  });

  test.each([
    ['never-seen', 'UPLOAD_NOT_FOUND', 5],
    ['with/slash', 'REQUEST_INVALID', 3],
    ['committed', 'UPLOAD_COMMITTED', 9],
  ])('AbortUpload of %s', async (uploadId, reason, code) => {
    await (await client.save('abort/c', PROBLEM, { uploadId: 'committed' })).commit();
    const aborted = channel.unary('abortUpload', create(AbortUploadRequestSchema, { uploadId }));
    await expect(aborted).rejects.toMatchObject({ reason, code });
  });
});

test('GetStatus tells version, stores, cache and streams', async () => {
  await save('status');
  const before = (await client.getStatus()).cache;
  await client.load('status').toColumns();
  await client.load('status').toColumns();
  const open = await client.save('status/open', PROBLEM);
  const status = await client.getStatus();
  expect(status.version).toMatch(/^\d+\.\d+\.\d+/);
  expect(status.streamCount).toBe(1n);
  expect(status.backends).toMatchObject([{ type: 'leveldb', state: BackendState.READY, message: '' }]);
  expect(status.backends[0]?.resultCount).toBeGreaterThan(0n);
  expect(status.cache?.hitCount).toBe((before?.hitCount ?? 0n) + 1n);
  expect(status.cache?.missCount).toBe((before?.missCount ?? 0n) + 1n);
  expect(status.cache?.limitBytes).toBe(100n << 20n);
  await open.close();
});
