import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Channel } from '../../clients/typescript/channel.js';
import { Backend, createClient, ReplicationState, type OptistoreClient } from '../../clients/typescript/index.js';
import { MigrateResultRequestSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { all, RUNNING } from '../backends/runs.js';
import { until } from '../cli/cli.js';
import { saveRun } from './raw-load.js';
import { floatRun, floats } from './sample-runs.js';
import { TwoStoreDaemon } from './two-stores.js';
import { PROBLEM, RawSave, rowsFrom, TestDaemon } from './wire.js';

let daemon: TwoStoreDaemon;
let client: OptistoreClient;
let channel: Channel;

beforeAll(async () => {
  daemon = await TwoStoreDaemon.start();
  client = createClient({ address: daemon.address });
  channel = new Channel(daemon.address);
});

afterAll(async () => {
  client.close();
  channel.close();
  await daemon[Symbol.asyncDispose]();
});

const TO_SECONDARY = { from: 'primary', to: 'secondary' } as const;

async function sample(key: string): Promise<void> {
  const writer = await client.save(key, PROBLEM, { tags: { study: 'beam' } });
  await writer.append({ x: [1, 2, 3], label: ['a', null, ''] });
  await writer.commit({ resultSets: [{ name: 'best', rows: [0, 2] }] });
}

async function sampleInCache(key: string, uploadId: string): Promise<void> {
  const save = new RawSave(daemon.address);
  save.send({ case: 'open', value: { key, uploadId, problem: PROBLEM, toBackend: Backend.CACHE } });
  save.send({ case: 'batch', value: rowsFrom(0, 10) }).send({ case: 'commit', value: { rowCount: 10n } });
  await save.answer('committed');
  await save.endAndWait();
}

const placesOf = async (key: string) => (await client.getResult(key)).placements.map(({ backend }) => backend);
const keysOf = async (prefix: string) => (await all(client.listResults({ prefix }))).map(({ key }) => key);

describe('MigrateResult', () => {
  test('moves a result to the secondary: it is loaded, listed and shown as before, and comes back', async () => {
    await sample('archive/a');
    const before = await client.getResult('archive/a');
    const rows = await client.load('archive/a').toColumns();
    const told = await all(client.migrate({ key: 'archive/a' }, TO_SECONDARY));
    expect(told.at(-1)).toMatchObject({
      ...{ key: 'archive/a', done: true, revision: 1n, rowCount: 3n, copiedRowCount: 3n, verifiedRowCount: 3n },
      ...{ doneCount: 1n, totalCount: 1n, failure: '' },
    });
    expect(await placesOf('archive/a')).toEqual([Backend.SECONDARY]);
    expect(await keysOf('archive/')).toEqual(['archive/a']);
    const archived = await client.getResult('archive/a');
    for (const field of ['revision', 'tags', 'commitTime', 'updateTime', 'columns', 'resultSets'] as const)
      expect(archived[field]).toEqual(before[field]);
    expect((await client.load('archive/a').toColumns()).columns).toEqual(rows.columns);
    await all(client.migrate({ key: 'archive/a' }, { from: 'secondary', to: 'primary' }));
    expect(await placesOf('archive/a')).toEqual([Backend.PRIMARY]);
    expect((await client.load('archive/a').toColumns()).columns).toEqual(rows.columns);
  });

  test('moves a result from the cache to the primary, where it survives the daemon', async () => {
    await sampleInCache('volatile', 'volatile-1');
    expect(await placesOf('volatile')).toEqual([Backend.CACHE]);
    await all(client.migrate({ key: 'volatile' }, { from: 'cache', to: 'primary' }));
    expect(await placesOf('volatile')).toEqual([Backend.PRIMARY]);
    expect((await client.load('volatile').toColumns()).columns['x']?.values).toHaveLength(10);
  });

  test('copies where the source is to be kept, to the cache too', async () => {
    await sample('copied');
    for (const to of ['secondary', 'cache'] as const)
      await all(client.migrate({ key: 'copied' }, { from: 'primary', to, keepSource: true }));
    expect((await placesOf('copied')).sort()).toEqual([Backend.PRIMARY, Backend.SECONDARY, Backend.CACHE]);
  });

  test('tells who watches of a result that comes to the primary', async () => {
    await sampleInCache('watched', 'watched-1');
    const watching = client.watch({ prefix: 'watched' });
    await watching.next();
    const heard = watching.next();
    await all(client.migrate({ key: 'watched' }, { from: 'cache', to: 'primary' }));
    expect((await heard).value).toMatchObject({ event: { case: 'committed', value: { key: 'watched' } } });
    await watching.return();
  });

  test('moves many; one that fails is told, and the others go on', async () => {
    for (const key of ['many/a', 'many/b', 'many/c']) await sample(key);
    await all(client.migrate({ key: 'many/b' }, { ...TO_SECONDARY, keepSource: true }));
    await daemon.process.stop('SIGTERM');
    {
      await using stores = await daemon.openStores();
      await stores.secondary.annotate('many/b', undefined, () => undefined, RUNNING);
    }
    await daemon.restart();
    const told = await all(client.migrate({ prefix: 'many/' }, TO_SECONDARY));
    const ended = told.filter(({ done, failure }) => done || failure !== '');
    expect(ended.map(({ key, done, doneCount }) => [key, done, doneCount])).toEqual([
      ['many/a', true, 1n],
      ['many/b', false, 1n],
      ['many/c', true, 2n],
    ]);
    expect(ended[1]?.failure).toMatch(/revision 2 here; revision 1 is older/);
    // What is newer may come to the primary.
    await all(client.migrate({ key: 'many/b' }, { from: 'secondary', to: 'primary' }));
    expect(await client.getResult('many/b')).toMatchObject({ revision: 2n });
  });

  test.each([
    [{ key: 'none', fromBackend: 1, toBackend: 2 }, 'RESULT_NOT_FOUND'],
    [{ key: 'k', fromBackend: 1, toBackend: 3 }, 'VOLATILE_TARGET'],
    [{ all: true, fromBackend: 1, toBackend: 3 }, 'VOLATILE_TARGET'],
    [{ key: 'k', fromBackend: 1, toBackend: 1 }, 'REQUEST_INVALID'],
    [{ key: 'k', fromBackend: 1 }, 'REQUEST_INVALID'],
    [{ key: 'k', toBackend: 1 }, 'REQUEST_INVALID'],
    [{ fromBackend: 1, toBackend: 2 }, 'REQUEST_INVALID'],
    [{ key: 'k', prefix: 'k', fromBackend: 1, toBackend: 2 }, 'REQUEST_INVALID'],
    [{ prefix: 'k', all: true, fromBackend: 1, toBackend: 2 }, 'REQUEST_INVALID'],
    [{ key: '/', fromBackend: 1, toBackend: 2 }, 'KEY_INVALID'],
  ])('refuses %j', async (request, reason) => {
    const answers = channel.stream('migrateResult', create(MigrateResultRequestSchema, request));
    await expect(answers.next()).rejects.toMatchObject({ reason });
  });
});

describe('without a secondary', () => {
  test('nothing goes there', async () => {
    await using single = await TestDaemon.start();
    await using lone = createClient({ address: single.address });
    const noSecondary = { reason: 'NO_SECONDARY', code: 9 };
    await expect(all(lone.migrate({ all: true }, TO_SECONDARY))).rejects.toMatchObject(noSecondary);
    await expect(all(lone.replicate())).rejects.toMatchObject(noSecondary);
    await expect(all(lone.migrateStore())).rejects.toMatchObject(noSecondary);
  });
});

describe('ReplicateResults', () => {
  test('copies what the secondary lacks; later changes of these keys follow', async () => {
    for (const key of ['late/a', 'late/b']) await sample(key);
    await sample('late/gone');
    await client.deleteResult('late/gone');
    const told = await all(client.replicate({ prefix: 'late/' }));
    expect(told.at(-1)).toMatchObject({ doneCount: 3n, copiedCount: 3n, failure: '' });
    expect(await client.getResult('late/a')).toMatchObject({ replication: ReplicationState.DONE });
    expect(await placesOf('late/a')).toEqual([Backend.PRIMARY, Backend.SECONDARY]);
    await client.updateResult('late/a', { description: 'changed' });
    await until(
      async () => (await client.getResult('late/a')).placements.map(({ revision }) => revision),
      ([first, second]) => first === 2n && second === 2n,
    );
    expect((await all(client.replicate({ prefix: 'late/' }))).at(-1)).toMatchObject({ copiedCount: 0n });
  });
});

describe('MigrateStore', () => {
  test('copies everything while the daemon serves, and from then on every change', async () => {
    await sample('store/a');
    const writer = await client.save('store/open', PROBLEM, { uploadId: 'still-open' });
    await writer.append({ x: [1], label: ['a'] });
    await writer.flush();
    const [last] = (await all(client.migrateStore())).slice(-1);
    expect(last).toMatchObject({ done: true, complete: true, failedCount: 0n, openUploadIds: ['still-open'] });
    expect(await placesOf('store/a')).toEqual([Backend.PRIMARY, Backend.SECONDARY]);
    // Neither was to be replicated: one was open already, the other is new.
    await writer.commit();
    await sample('store/new');
    for (const key of ['store/open', 'store/new'])
      await until(
        () => placesOf(key),
        (places) => places.includes(Backend.SECONDARY),
      );
    const [again] = (await all(client.migrateStore())).slice(-1);
    expect(again).toMatchObject({ complete: true, openUploadIds: [], pendingCount: 0n, copiedCount: 0n });
  });
});

describe('SIGTERM', () => {
  test('in the middle of a migration ends it, says so, and the same again goes on', async () => {
    await using own = await TwoStoreDaemon.start();
    // 256 MiB: several times as long as it takes until progress is told.
    const rowCount = 1 << 22;
    await saveRun(own.address, 'large', floats(8), floatRun(8, rowCount), 1 << 14);
    {
      await using leaving = createClient({ address: own.address });
      const told = leaving.migrate({ key: 'large' }, TO_SECONDARY)[Symbol.asyncIterator]();
      expect((await told.next()).value).toMatchObject({ key: 'large', done: false, rowCount: BigInt(rowCount) });
      const ended = own.process.stop('SIGTERM');
      const rest = (async () => {
        while ((await told.next()).done !== true);
      })();
      await expect(rest).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' });
      expect(await ended).toBe(0);
    }
    await own.restart();
    await using back = createClient({ address: own.address });
    const again = await all(back.migrate({ key: 'large' }, TO_SECONDARY));
    expect(again.at(-1)).toMatchObject({
      done: true,
      copiedRowCount: BigInt(rowCount),
      verifiedRowCount: BigInt(rowCount),
    });
    expect((await back.getResult('large')).placements).toMatchObject([{ backend: Backend.SECONDARY }]);
  }, 60_000);
});
