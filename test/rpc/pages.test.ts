import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { beforeAll, describe, expect, test } from 'vitest';
import { ListResultsRequestSchema, ListUploadsRequestSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { nextMillisecond, PROBLEM, RawSave, rowsFrom, sharedDaemon } from './wire.js';

type ListRequest = MessageInitShape<typeof ListResultsRequestSchema>;
const PREFIX = 'page/';
const REFUSED = { reason: 'PAGE_TOKEN_INVALID', code: 3 };

const { daemon, client, channel } = await sharedDaemon();

beforeAll(async () => {
  // Neighbours on both sides, which no page may show.
  for (const key of ['a', 'page', 'z', ...Array.from({ length: 20 }, (_, i) => named(i * 10))]) await put(key);
});

const named = (number: number) => `${PREFIX}${String(number).padStart(4, '0')}`;

async function put(key: string): Promise<void> {
  await (await client.save(key, PROBLEM)).commit();
  await nextMillisecond();
}

async function page(request: ListRequest): Promise<{ keys: string[]; token: string }> {
  const wire = create(ListResultsRequestSchema, { prefix: PREFIX, pageSize: 4, ...request });
  const { results, nextPageToken, unreachable } = await channel.unary('listResults', wire);
  expect(unreachable).toEqual([]);
  return { keys: results.map((result) => result.key), token: nextPageToken };
}

describe('pages of ListResults', () => {
  test('have as many as asked for, and the last has no token', async () => {
    const sizes = [];
    let token = '';
    do {
      const next = await page({ pageSize: 8, pageToken: token });
      sizes.push(next.keys.length);
      token = next.token;
    } while (token !== '');
    expect(sizes).toEqual([8, 8, 4]);
  });

  test('a page that holds just all is the last', async () => {
    expect((await page({ pageSize: 20 })).token).toBe('');
  });

  test('tokens do not show where the list stands', async () => {
    const { token } = await page({ orderBy: 'key' });
    expect(token).not.toContain('page');
    expect(token).toMatch(/^[\w.~-]+$/);
  });

  test.each(['key', 'key desc', 'commit_time', 'commit_time desc', 'update_time', 'update_time desc'])(
    'by %s stay right while results come and go between them',
    async (orderBy) => {
      const ascending = !orderBy.endsWith('desc');
      const byKey = orderBy.startsWith('key');
      const mark = orderBy.replace(' ', '-');
      const stable = Array.from({ length: 12 }, (_, i) => `${PREFIX}${mark}/${String(i * 10).padStart(4, '0')}`);
      for (const key of stable) await put(key);
      const prefix = `${PREFIX}${mark}/`;
      const at = (number: number) => `${prefix}${String(number).padStart(4, '0')}`;
      const seen: string[] = [];
      const first = await page({ prefix, orderBy });
      seen.push(...first.keys);
      for (const number of [5, 15, 65, 105]) await put(at(number));
      const second = await page({ prefix, orderBy, pageToken: first.token });
      seen.push(...second.keys);
      // The token stands for a place that is no more.
      await client.deleteResult(second.keys.at(-1) ?? '');
      let { token } = second;
      while (token !== '') {
        const next = await page({ prefix, orderBy, pageToken: token });
        seen.push(...next.keys);
        token = next.token;
      }
      expect(new Set(seen).size).toBe(seen.length);
      expect(seen.filter((key) => stable.includes(key))).toEqual(ascending ? stable : [...stable].reverse());
      const added = seen.filter((key) => !stable.includes(key));
      // What came behind the first page is found, what came before it is not.
      const behind = byKey ? (ascending ? [65, 105] : [65, 15, 5]) : ascending ? [5, 15, 65, 105] : [];
      expect(added).toEqual(behind.map(at));
      for (const key of [...stable, ...[5, 15, 65, 105].map(at)]) await client.deleteResult(key).catch(() => undefined);
    },
  );
});

/** A token with the beginning of a real one, by which the daemon knows its own, and other contents. */
function forged(token: string, ...contents: unknown[]): string {
  const parts: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
  const [mark] = parts as [unknown];
  return Buffer.from(JSON.stringify([mark, ...contents])).toString('base64url');
}

describe('a page token is refused', () => {
  test.each([
    ['that is no token', 'x'],
    ['that is not base64', '???'],
    ['of blanks', '   '],
    ['that is JSON, but not ours', Buffer.from('{"key":"a"}').toString('base64url')],
    ['without anything in it', Buffer.from('[]').toString('base64url')],
    ['that is very long', 'A'.repeat(100_000)],
  ])('%s', async (_, pageToken) => {
    await expect(page({ pageToken })).rejects.toMatchObject(REFUSED);
    const uploads = create(ListUploadsRequestSchema, { pageToken });
    await expect(channel.unary('listUploads', uploads)).rejects.toMatchObject(REFUSED);
  });

  test.each<[string, ListRequest]>([
    ['another prefix', { prefix: 'page/0' }],
    ['another order', { orderBy: 'update_time' }],
    ['the other direction', { orderBy: 'key desc' }],
    ['other tags', { tags: { a: 'b' } }],
  ])('that another query gave: %s', async (_, other) => {
    const { token } = await page({});
    await expect(page({ ...other, pageToken: token })).rejects.toMatchObject(REFUSED);
  });

  test('that is cut or changed', async () => {
    const { token } = await page({});
    for (const wrong of [token.slice(0, -3), token.slice(3), `${token}AAAA`, `B${token.slice(1)}`])
      await expect(page({ pageToken: wrong })).rejects.toMatchObject(REFUSED);
  });

  test.each<[string, unknown[]]>([
    ['a time that is no number', [named(10), 'yesterday']],
    ['a time with a fraction', [named(10), '1.5']],
    ['a time below 0', [named(10), '-5']],
    ['a time in hexadecimal', [named(10), '0x10']],
    ['a time of a thousand digits', [named(10), '9'.repeat(1000)]],
    ['an empty time', [named(10), '']],
    ['no time', [named(10)]],
    ['more than it needs', [named(10), '5', 'x']],
    ['a key that is none', ['page/../x', '5']],
    ['a key with a control character', ['page/\u0000', '5']],
    ['a key outside of the prefix', ['other/x', '5']],
    ['numbers for text', [1, 2]],
  ])('whose beginning is right, but which holds %s', async (_, contents) => {
    for (const orderBy of ['commit_time', 'update_time desc']) {
      const { token } = await page({ orderBy });
      await expect(page({ orderBy, pageToken: forged(token, ...contents) })).rejects.toMatchObject(REFUSED);
    }
  });

  test('or shows nothing outside of the prefix, whatever key it names', async () => {
    for (const [orderBy, key] of [
      ['key', 'a'],
      ['key desc', 'zz'],
    ] as const) {
      const { token } = await page({ orderBy });
      const { keys } = await page({ orderBy, pageSize: 100, pageToken: forged(token, key, '0') }).catch(() => ({
        keys: [],
      }));
      expect(keys.filter((found) => !found.startsWith(PREFIX))).toEqual([]);
    }
  });
});

describe('pages of ListUploads', () => {
  const IDS = Array.from({ length: 7 }, (_, i) => `upload-${i}`);
  const list = (pageToken: string, prefix = 'up/') =>
    channel.unary('listUploads', create(ListUploadsRequestSchema, { prefix, pageSize: 3, pageToken }));

  async function begin(uploadId: string): Promise<void> {
    const save = new RawSave(daemon.address);
    save.send({ case: 'open', value: { key: `up/${uploadId}`, uploadId, problem: PROBLEM } });
    save.send({ case: 'batch', value: rowsFrom(0, 1) }).send({ case: 'flush', value: {} });
    await save.answer('ack');
    await save.endAndWait();
  }

  test('are in order of id, and stay right while uploads come and go between them', async () => {
    for (const id of [...IDS].reverse()) await begin(id);
    const first = await list('');
    expect(first.uploads.map((upload) => upload.uploadId)).toEqual(IDS.slice(0, 3));
    await client.abortUpload('upload-2');
    await begin('upload-0-late');
    await begin('upload-3-late');
    const second = await list(first.nextPageToken);
    expect(second.uploads.map((upload) => upload.uploadId)).toEqual(['upload-3', 'upload-3-late', 'upload-4']);
    const third = await list(second.nextPageToken);
    expect(third.uploads.map((upload) => upload.uploadId)).toEqual(['upload-5', 'upload-6']);
    expect(third.nextPageToken).toBe('');
  });

  test('refuse a token of another prefix, and a page of more than 1,000', async () => {
    const { nextPageToken } = await list('');
    expect(nextPageToken).not.toBe('');
    await expect(list(nextPageToken, 'u')).rejects.toMatchObject(REFUSED);
    await expect(
      channel.unary('listUploads', create(ListUploadsRequestSchema, { pageSize: 1001 })),
    ).rejects.toMatchObject({ reason: 'REQUEST_INVALID', code: 3 });
  });

  test.each([
    ['an id that is none', ['a/b']],
    ['an empty id', ['']],
    ['more than it needs', ['upload-1', 'upload-2']],
  ])('refuse a token whose beginning is right, but which holds %s', async (_, contents) => {
    const { nextPageToken } = await list('');
    await expect(list(forged(nextPageToken, ...contents))).rejects.toMatchObject(REFUSED);
  });
});
