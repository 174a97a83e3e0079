import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Channel } from '../../clients/typescript/channel.js';
import { GrpcJsLink } from '../../clients/typescript/grpc-js-link.js';
import {
  createClient,
  ResultReader,
  valueAt,
  type LoadedBatch,
  type LoadOptions,
  type OptistoreClient,
} from '../../clients/typescript/index.js';
import { loadRequest } from '../../clients/typescript/load-options.js';
import type { LocalBlocks } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { createToken } from '../../server/rpc/access/token-file.js';
import { flipBit } from '../backends/damage.js';
import { rawLoad, saveRun } from './raw-load.js';
import { floatRun, floats, MIXED, mixedRun } from './sample-runs.js';
import { TestDaemon } from './wire.js';

const ROWS = 12_000;
const RUN = mixedRun(ROWS);
/** 16 MB, saved in 20 blocks: headers of 16 are read at once. */
const WIDE = floats(10);
const WIDE_ROWS = 200_000;

/** A daemon with a Unix socket, and clients of both its doors. */
class SocketDaemon implements AsyncDisposable {
  private readonly opened: { close(): void }[] = [];

  private constructor(readonly daemon: TestDaemon) {}

  static async start(settings: Parameters<typeof TestDaemon.startIn>[0] = () => ({})): Promise<SocketDaemon> {
    const daemon = await TestDaemon.startIn((folder) => ({ socket: join(folder, 'socket'), ...settings(folder) }));
    return new SocketDaemon(daemon);
  }

  get socket(): string {
    return `unix:${join(this.daemon.folder, 'socket')}`;
  }

  client(address = this.socket, token = ''): OptistoreClient {
    return this.keep(createClient({ address, token, retryMs: 5000 }));
  }

  channel(address = this.socket, token = ''): Channel {
    return this.keep(new Channel(address, new GrpcJsLink(address, { token })));
  }

  private keep<T extends { close(): void }>(one: T): T {
    this.opened.push(one);
    return one;
  }

  /** The one file of a LevelDB store. */
  async segment(): Promise<string> {
    const folder = join(this.daemon.folder, 'data', 'segments');
    const names = await readdir(folder);
    expect(names).toHaveLength(1);
    return join(folder, names[0] ?? '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.opened) one.close();
    await this.daemon[Symbol.asyncDispose]();
  }
}

/** Every value of some batches, row by row, doubles by their bits. */
function valuesOf(batches: readonly LoadedBatch[]): unknown[] {
  const bits = new DataView(new ArrayBuffer(8));
  const asBits = (value: unknown) => {
    if (typeof value !== 'number') return value;
    bits.setFloat64(0, value);
    return bits.getBigUint64(0);
  };
  return batches.flatMap(({ firstRow, rowCount, columns }) =>
    Array.from({ length: rowCount }, (_, row) => [
      firstRow + row,
      ...Object.values(columns).map((column) => asBits(valueAt(column, row))),
    ]),
  );
}

interface Loaded {
  readonly batches: readonly LoadedBatch[];
  /** Why files could not be read. */
  readonly unusable: readonly string[];
}

async function loaded(client: OptistoreClient, key: string, options: LoadOptions = {}): Promise<Loaded> {
  const batches: LoadedBatch[] = [];
  const unusable: string[] = [];
  const onLocalFilesUnusable = (error: Error) => void unusable.push(error.message);
  for await (const batch of client.load(key, { ...options, onLocalFilesUnusable })) batches.push(batch);
  return { batches, unusable };
}

/** A channel that changes what a client is told of files, as if it saw other ones. */
function tampering(channel: Channel, change: (told: LocalBlocks) => void): Channel {
  const load: Channel['load'] = (request) => {
    const call = channel.load(request);
    const changed = async function* () {
      for await (const response of call) {
        if (response.message.case === 'localBlocks') change(response.message.value);
        yield response;
      }
    };
    return Object.assign(changed(), { cancel: () => call.cancel() });
  };
  const explain: Channel['explain'] = (error) => channel.explain(error);
  return { address: channel.address, load, explain } as never;
}

/** Which messages a load has between its header and its trailer. */
async function casesOf(channel: Channel, request: Parameters<typeof rawLoad>[1]): Promise<string[]> {
  return [...new Set((await rawLoad(channel, { localFiles: true, ...request })).cases.slice(1, -1))];
}

let world: SocketDaemon;
let client: OptistoreClient;
let channel: Channel;

beforeAll(async () => {
  world = await SocketDaemon.start();
  client = world.client();
  channel = world.channel();
  await saveRun(world.daemon.address, 'mixed', MIXED, RUN, 3000);
  await saveRun(world.daemon.address, 'small', MIXED, mixedRun(10));
});

afterAll(() => world[Symbol.asyncDispose]());

describe('over the Unix socket', () => {
  test('a load is told where rows lie, and reads what a stream gives: every type, NaNs, missing values', async () => {
    expect(await casesOf(channel, { key: 'mixed' })).toEqual(['localBlocks']);
    const { batches, unusable } = await loaded(client, 'mixed');
    expect(unusable).toEqual([]);
    expect(valuesOf(batches)).toEqual(valuesOf((await loaded(client, 'mixed', { localFiles: false })).batches));
  });

  test('its header says who serves, and its trailer how many rows', async () => {
    const { header, trailer } = await rawLoad(channel, { key: 'mixed', localFiles: true, firstRow: 50n });
    expect(header).toMatchObject({ servedFrom: 1, firstRow: 50n, rowCount: BigInt(ROWS - 50) });
    expect(trailer).toMatchObject({ rowCount: BigInt(ROWS - 50) });
  });

  test.each<LoadOptions>([
    { columns: ['s', 'f'] },
    { columns: ['b'] },
    { rows: [1, 2] },
    { rows: [2999, 3001] },
    { rows: [1003, 9001], columns: ['i', 's', 'b'] },
    { rows: [11_999] },
    { rows: [500, 7000], maxBatchBytes: 65_536 },
  ])('cuts blocks to what is asked for: %j', async (options) => {
    const { batches, unusable } = await loaded(client, 'mixed', options);
    expect(unusable).toEqual([]);
    const streamed = await loaded(client, 'mixed', { ...options, localFiles: false });
    expect(valuesOf(batches)).toEqual(valuesOf(streamed.batches));
    if (options.maxBatchBytes !== undefined) expect(batches.length).toBeGreaterThan(2);
  });

  test('columns of a batch are views of one piece of memory', async () => {
    const { batches } = await loaded(client, 'mixed', { columns: ['f', 'i'], rows: [0, 100] });
    const [f, i] = Object.values(batches[0]?.columns ?? {}).map(({ values }) => values);
    expect((f as Float64Array).buffer).toBe((i as BigInt64Array).buffer);
  });

  test('all rows come as one column each', async () => {
    const { columns } = await client.load('mixed').toColumns();
    const streamed = await client.load('mixed', { localFiles: false }).toColumns();
    expect(columns).toEqual(streamed.columns);
  });

  test('what lies in no file is streamed: a small result, a result set, a save that is followed', async () => {
    expect(await casesOf(channel, { key: 'small' })).toEqual(['batch']);
    await client.putResultSet('mixed', 'few', { rows: [3, 4, 9000] });
    expect(await casesOf(channel, { key: 'mixed', resultSet: 'few' })).toEqual(['batch']);
    const few = await loaded(client, 'mixed', { resultSet: 'few' });
    expect(few.batches.map(({ rowNumbers }) => [...(rowNumbers ?? [])]).flat()).toEqual([3, 4, 9000]);
    const { uploadId } = await client.getResult('mixed');
    expect(await casesOf(channel, { key: 'mixed', follow: true, uploadId })).toEqual(['batch']);
  });

  test('a result of which only a part lies in files comes in order', async () => {
    await saveRun(world.daemon.address, 'extended', WIDE, floatRun(10, 5));
    const writer = await client.append('extended');
    const columns = Object.fromEntries(
      WIDE.variables.map(({ name }) => [name, Float64Array.from({ length: 9000 }, (_, row) => row)]),
    );
    await writer.append(columns);
    await writer.commit();
    expect(await casesOf(channel, { key: 'extended' })).toEqual(['batch', 'localBlocks']);
    const { batches } = await loaded(client, 'extended', { rows: [2, 9005] });
    expect(valuesOf(batches)).toEqual(
      valuesOf((await loaded(client, 'extended', { rows: [2, 9005], localFiles: false })).batches),
    );
  });

  test('a load of files neither asks the cache nor fills it', async () => {
    const before = (await client.getStatus()).cache;
    await loaded(client, 'mixed');
    expect((await client.getStatus()).cache).toEqual(before);
  });
});

test('over TCP, rows are streamed', async () => {
  const remote = world.channel(world.daemon.address);
  expect(await casesOf(remote, { key: 'mixed' })).toEqual(['batch']);
  const { batches } = await loaded(world.client(world.daemon.address), 'mixed', { localFiles: true });
  expect(valuesOf(batches)).toEqual(valuesOf((await loaded(client, 'mixed')).batches));
});

test.each([
  ['a filesystem store', 'localBlocks', (folder: string) => ({ type: 'filesystem', base_path: join(folder, 'files') })],
  ['SQLite', 'batch', (folder: string) => ({ type: 'database', connection_string: `sqlite:///${join(folder, 'db')}` })],
  ['memory', 'batch', () => ({ type: 'memory', max_memory_mb: 100 })],
])('of %s a load has %s', async (_, messageCase, primary) => {
  await using other = await SocketDaemon.start((folder) => ({ primary: primary(folder) }));
  await saveRun(other.daemon.address, 'mixed', MIXED, RUN, 3000);
  const options = { columns: ['i', 'f', 's'] };
  expect(await casesOf(other.channel(), { key: 'mixed', ...options })).toEqual([messageCase]);
  const { batches, unusable } = await loaded(other.client(), 'mixed', options);
  expect(unusable).toEqual([]);
  expect(valuesOf(batches)).toEqual(valuesOf((await loaded(client, 'mixed', options)).batches));
  // Arrow has bools in another form.
  expect(await casesOf(other.channel(), { key: 'mixed', columns: ['b'] })).toEqual(['batch']);
});

test('who has a token is at a door without files, and sees the keys of its prefix as before', async () => {
  let team = '';
  await using guarded = await SocketDaemon.start((folder) => {
    const tokens = join(folder, 'tokens.json');
    team = createToken(tokens, { name: 'team', scope: 'write', prefix: 'team/' });
    return { tokens };
  });
  for (const key of ['team/a', 'other/a']) {
    const writer = await guarded.client().save(key, floats(1));
    await writer.append({ c0: new Float64Array(20_000) });
    await writer.commit();
    expect(await casesOf(guarded.channel(), { key })).toEqual(['localBlocks']);
  }
  const { address } = guarded.daemon;
  expect(await casesOf(guarded.channel(address, team), { key: 'team/a' })).toEqual(['batch']);
  const refused = loaded(guarded.client(address, team), 'other/a', { localFiles: true });
  await expect(refused).rejects.toMatchObject({ reason: 'NOT_ALLOWED' });
});

describe('a reader in the middle', () => {
  async function saved(settings?: Parameters<typeof TestDaemon.startIn>[0]) {
    const store = await SocketDaemon.start(settings);
    await saveRun(store.daemon.address, 'wide', WIDE, floatRun(10, WIDE_ROWS), 10_000);
    return store;
  }

  /** Reads to the end, does something behind the first batch; the sum of a column's rows. */
  async function readThrough(reader: OptistoreClient, act: () => Promise<unknown>, options: LoadOptions = {}) {
    const unusable: string[] = [];
    let next = 0;
    for await (const { firstRow, rowCount, columns } of reader.load('wide', {
      ...options,
      onLocalFilesUnusable: (error) => void unusable.push(error.message),
    })) {
      expect(firstRow).toBe(next);
      const values = columns['c3']?.values as Float64Array;
      for (let row = 0; row < rowCount; row++)
        if (values[row] !== firstRow + row + 0.003) throw new Error(`row ${firstRow + row}`);
      if (next === 0) await act();
      next = firstRow + rowCount;
    }
    expect(next).toBe(WIDE_ROWS);
    return unusable;
  }

  test('reads on, whatever becomes of the key: deleted, replaced, and its file removed', async () => {
    await using store = await saved();
    const reader = store.client();
    const path = await store.segment();
    expect(
      await readThrough(reader, async () => {
        await saveRun(store.daemon.address, 'wide', WIDE, floatRun(10, 7));
        await store.client().deleteResult('wide');
        await rm(path);
      }),
    ).toEqual([]);
  });

  test('reads on in a file that it has open when the daemon is killed, and again when it is back', async () => {
    await using store = await saved();
    const reader = store.client();
    const reconnected: unknown[] = [];
    const options = { columns: ['c3'], onReconnect: (error: unknown) => void reconnected.push(error) };
    await readThrough(
      reader,
      async () => {
        await store.daemon.process.stop('SIGKILL');
        await store.daemon.restart();
      },
      options,
    );
  });

  test('reads on while the result goes to another store', async () => {
    await using store = await saved((folder) => ({
      secondary: { type: 'filesystem', base_path: join(folder, 'second') },
    }));
    const reader = store.client();
    await readThrough(reader, async () => {
      const between = { from: 'primary', to: 'secondary' } as const;
      const done: string[] = [];
      for await (const { key } of store.client().migrate({ key: 'wide' }, between)) done.push(key);
      expect(done).toContain('wide');
    });
    const channelOf = store.channel();
    const { cases, header } = await rawLoad(channelOf, { key: 'wide', localFiles: true });
    expect(cases).toContain('localBlocks');
    expect(header?.servedFrom).toBe(2);
    expect(await readThrough(reader, () => Promise.resolve())).toEqual([]);
  });

  test.each<[string, (told: LocalBlocks, folder: string) => unknown, string]>([
    ['is not there', (told) => (told.path += '.gone'), 'ENOENT'],
    ['is another one', (told, folder) => (told.path = join(folder, 'optistore.yaml')), 'is not the file'],
    ['is a folder', (told, folder) => (told.path = folder), 'is not the file'],
    ['has another inode', (told) => told.inode++, 'is not the file'],
    ['lies on another device', (told) => told.device++, 'is not the file'],
    ['has another length', (told) => told.fileBytes--, 'is not the file'],
    ['is told without all of its places', (told) => (told.buffers = told.buffers.subarray(16)), 'bytes of places'],
    ['is told with a place behind its end', (told) => told.buffers.fill(0x40, 1, 8), 'tells a place'],
    ['is told with a place of another length', (told) => told.buffers.fill(1, 8, 9), 'tells a place'],
    ['is told with another checksum', (told) => told.buffers.fill(1, 12, 16), 'fail their checksum'],
  ])('streams where the file %s', async (_, change, why) => {
    const unusable: string[] = [];
    const reader = new ResultReader(
      tampering(channel, (told) => change(told, world.daemon.folder)),
      loadRequest('mixed', { columns: ['f', 's'], rows: [17, 9000] }, world.socket),
      5000,
      { onLocalFilesUnusable: (error) => void unusable.push(error.message) },
    );
    const batches: LoadedBatch[] = [];
    for await (const batch of reader) batches.push(batch);
    expect(unusable).toEqual([expect.stringContaining(why)]);
    const streamed = { columns: ['f', 's'], rows: [17, 9000], localFiles: false } as const;
    expect(valuesOf(batches)).toEqual(valuesOf((await loaded(client, 'mixed', streamed)).batches));
  });

  test('gets places as far as they can be told, then the rows of another copy', async () => {
    await using both = await saved((folder) => ({
      secondary: { type: 'database', connection_string: `sqlite:///${join(folder, 'second.db')}` },
      replication: 'sync',
    }));
    const path = await both.segment();
    // The header of the last block.
    await flipBit(path, (await readFile(path)).lastIndexOf('BLK1') + 20);
    const { cases } = await rawLoad(both.channel(), { key: 'wide', localFiles: true, columns: ['c3'] });
    expect([...new Set(cases)]).toEqual(['header', 'localBlocks', 'batch', 'trailer']);
    expect(await readThrough(both.client(), () => Promise.resolve())).toEqual([]);
  });

  test('is told of damage as by a stream, and gets the rows of another copy where there is one', async () => {
    await using alone = await saved();
    const at = 9 * 1024 * 1024;
    await flipBit(await alone.segment(), at);
    await expect(loaded(alone.client(), 'wide')).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
    await using both = await saved((folder) => ({
      secondary: { type: 'database', connection_string: `sqlite:///${join(folder, 'second.db')}` },
      replication: 'sync',
    }));
    await flipBit(await both.segment(), at);
    expect(await readThrough(both.client(), () => Promise.resolve())).toEqual([expect.stringContaining('checksum')]);
  });
});
