import { createHash } from 'node:crypto';
import { mkdtemp, open as openFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Backend } from '../../proto/gen/optistore/v1/result_pb.js';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import type { BackendConfig } from '../../server/backends/open-backend.js';
import { PostgresServer } from '../backends/postgres.js';
import { LINE } from '../backends/runs.js';
import { TestDaemon } from '../rpc/wire.js';

/** Rows of a result of several blocks. */
const MANY = 400_000;

let server: PostgresServer;
beforeAll(async () => {
  server = await PostgresServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const rows = (rowCount: number, factor = 1) => {
  const x = Float64Array.from({ length: rowCount }, (_, row) => row * factor);
  return { x, f: x.map((value) => -value) };
};

async function saveRows(client: OptistoreClient, key: string, rowCount: number, factor = 1) {
  const writer = await client.save(key, LINE, { replicate: 'sync' });
  await writer.append(rows(rowCount, factor));
  return await writer.commit();
}

/** A column in short: comparing hundreds of thousands of numbers one by one takes seconds. */
function digest(column: { readonly values: unknown } | undefined): string {
  const values = column?.values as Float64Array;
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return `${values.length} ${createHash('sha256').update(bytes).digest('hex')}`;
}

/** The digest of the first column of `rows`. */
const xOf = (rowCount: number) => digest({ values: rows(rowCount).x });

/** What a client gets of a load. */
async function loadRows(client: OptistoreClient, key: string, revision?: bigint) {
  const { header, columns } = await client.load(key, revision === undefined ? {} : { revision }).toColumns();
  return {
    from: Backend[header.servedFrom],
    stale: header.stale,
    x: digest(columns['x']),
    revision: header.result?.revision,
  };
}

async function keysOf(client: OptistoreClient) {
  const unreachable = new Set<string>();
  const keys: string[] = [];
  const onUnreachable = (stores: readonly string[]) => stores.forEach((store) => unreachable.add(store));
  for await (const { key } of client.listResults({ pageSize: 2, onUnreachable })) keys.push(key);
  return { keys, unreachable: [...unreachable] };
}

/** A daemon with two stores, no cache unless a test says so, and a client. */
async function twoStores(settings: { primary?: BackendConfig; secondary?: BackendConfig; use_cache?: boolean }) {
  const folder = await mkdtemp(join(tmpdir(), 'optistore-fallback-'));
  const {
    primary = { type: 'leveldb', path: join(folder, 'primary') },
    secondary = { type: 'database', connection_string: `sqlite:///${join(folder, 'secondary.db')}` },
    use_cache = false,
  } = settings;
  const daemon = await TestDaemon.startWith({ primary, secondary, use_cache, stream_idle_timeout: '60s' });
  const client = createClient({ address: daemon.address, retryMs: 5000 });
  return {
    ...{ daemon, client, folder },
    async [Symbol.asyncDispose]() {
      client.close();
      await daemon[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

const postgresql = async (): Promise<BackendConfig> => ({
  type: 'database',
  connection_string: await server.createDatabase(),
});

/** Flips a byte of each segment file, at a part of its length. */
async function damage(folder: string, at: number): Promise<void> {
  const segments = join(folder, 'segments');
  for (const name of await readdir(segments)) {
    await using file = await openFile(join(segments, name), 'r+');
    const position = Math.floor((await file.stat()).size * at);
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, position);
    byte[0] = (byte[0] ?? 0) ^ 0xff;
    await file.write(byte, 0, 1, position);
  }
}

async function fallbackOf(client: OptistoreClient) {
  const { fallback } = await client.getStatus();
  if (fallback === undefined) throw new Error('there is a secondary, so there is a fallback');
  return fallback;
}

async function repaired(client: OptistoreClient, count: bigint): Promise<void> {
  await expect.poll(async () => (await fallbackOf(client)).repairedCount, { timeout: 20_000 }).toBe(count);
}

describe('a primary that is down', () => {
  test('has its loads and lists served by the secondary, which says that it may be stale; saves wait', async () => {
    await using stores = await twoStores({
      primary: await postgresql(),
      secondary: { type: 'leveldb', path: await mkdtemp(join(tmpdir(), 'optistore-secondary-')) },
    });
    const { client } = stores;
    for (const key of ['a', 'b', 'c']) await saveRows(client, key, 100);
    expect(await loadRows(client, 'b')).toMatchObject({ from: 'PRIMARY', stale: false });
    const running = await client.save('d', LINE);
    await running.append(rows(10));
    await running.flush();
    await server.down();
    expect(await loadRows(client, 'b')).toEqual({ from: 'SECONDARY', stale: true, x: xOf(100), revision: 1n });
    expect(await loadRows(client, 'b', 1n)).toMatchObject({ from: 'SECONDARY', stale: false });
    await expect(loadRows(client, 'b', 2n)).rejects.toMatchObject({ reason: 'BACKEND_UNAVAILABLE' });
    await expect(loadRows(client, 'nothing')).rejects.toMatchObject({ reason: 'BACKEND_UNAVAILABLE' });
    expect(await keysOf(client)).toEqual({ keys: ['a', 'b', 'c'], unreachable: ['primary'] });
    const refused = createClient({ address: stores.daemon.address, retryMs: 0 });
    await expect(refused.save('e', LINE)).rejects.toMatchObject({ reason: 'BACKEND_UNAVAILABLE' });
    refused.close();
    expect((await fallbackOf(client)).fallbackCount).toBeGreaterThan(0n);
    await server.up();
    // The circuit is closed by the next probe, at the latest 2 s later.
    await expect
      .poll(() => loadRows(client, 'b'), { timeout: 20_000 })
      .toMatchObject({ from: 'PRIMARY', stale: false });
    await running.append(rows(10));
    expect((await running.commit()).rowCount).toBe(20n);
    expect(await keysOf(client)).toEqual({ keys: ['a', 'b', 'c', 'd'], unreachable: [] });
  });

  test('breaks a load in the middle, and the client sees nothing of it', async () => {
    await using stores = await twoStores({ primary: await postgresql() });
    const { client } = stores;
    await saveRows(client, 'k', MANY * 3);
    const reader = client.load('k', { maxBatchBytes: 65_536 });
    let nextRow = 0;
    let sum = 0;
    for await (const { firstRow, rowCount, columns } of reader) {
      expect(firstRow).toBe(nextRow);
      nextRow += rowCount;
      for (const value of columns['x']?.values as Float64Array) sum += value;
      if (firstRow === 0) await server.down();
    }
    await server.up();
    expect((await reader.header()).servedFrom).toBe(Backend.PRIMARY);
    const last = MANY * 3 - 1;
    expect({ nextRow, sum }).toEqual({ nextRow: MANY * 3, sum: (last * (last + 1)) / 2 });
    expect((await fallbackOf(client)).continuedCount).toBe(1n);
  });
});

describe('a primary whose data is corrupt', () => {
  test.each([
    ['at the beginning', 0.001, 'SECONDARY'],
    ['in the middle', 0.6, 'PRIMARY'],
  ])('%s, has its rows served by the secondary and is repaired', async (_, at, from) => {
    await using stores = await twoStores({});
    const { client, daemon, folder } = stores;
    await saveRows(client, 'k', MANY);
    await daemon.process.stop('SIGTERM');
    await damage(join(folder, 'primary'), at);
    await daemon.restart();
    expect(await loadRows(client, 'k')).toMatchObject({ from, stale: false, x: xOf(MANY) });
    await repaired(client, 1n);
    expect(await loadRows(client, 'k')).toMatchObject({ from: 'PRIMARY', x: xOf(MANY) });
    const { columns } = await client.load('k', { from: 'primary' }).toColumns();
    expect(digest(columns['f'])).toBe(digest({ values: rows(MANY).f }));
    // What follows upon it is replicated again.
    await client.updateResult('k', { description: 'repaired' });
    await expect.poll(async () => (await client.getStatus()).replication?.pendingCount, { timeout: 20_000 }).toBe(0n);
    const { header } = await client.load('k', { from: 'secondary' }).toColumns();
    expect(header.result?.description).toBe('repaired');
  });

  test('and of which there is no other copy says so', async () => {
    await using stores = await twoStores({});
    const { client, daemon, folder } = stores;
    const writer = await client.save('k', LINE);
    await writer.append(rows(MANY));
    await writer.commit();
    await daemon.process.stop('SIGTERM');
    await damage(join(folder, 'primary'), 0.5);
    await daemon.restart();
    await expect(loadRows(client, 'k')).rejects.toMatchObject({ reason: 'RESULT_CORRUPT' });
  });
});

describe('a primary that is empty', () => {
  test('gets its results back as they are asked for, and their revisions go on', async () => {
    await using stores = await twoStores({});
    const { client, daemon, folder } = stores;
    for (const key of ['a', 'b', 'c', 'gone']) await saveRows(client, key, 1000);
    await saveRows(client, 'c', 2000);
    await client.deleteResult('gone');
    await expect.poll(async () => (await client.getStatus()).replication?.pendingCount, { timeout: 20_000 }).toBe(0n);
    await daemon.process.stop('SIGTERM');
    await rm(join(folder, 'primary'), { recursive: true });
    await daemon.restart();
    expect(await keysOf(client)).toEqual({ keys: ['a', 'b', 'c'], unreachable: [] });
    await repaired(client, 3n);
    expect(await loadRows(client, 'c')).toMatchObject({ from: 'PRIMARY', revision: 2n, x: xOf(2000) });
    await expect(loadRows(client, 'gone')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    // Never the same number twice, of a deleted key neither.
    expect((await saveRows(client, 'gone', 10)).revision).toBe(3n);
    expect((await saveRows(client, 'b', 10)).revision).toBe(2n);
  });

  test('takes a save that builds on what it has lost', async () => {
    await using stores = await twoStores({});
    const { client, daemon, folder } = stores;
    await saveRows(client, 'k', 1000);
    await saveRows(client, 'other', 1000);
    await daemon.process.stop('SIGTERM');
    await rm(join(folder, 'primary'), { recursive: true });
    await daemon.restart();
    const writer = await client.append('k');
    await writer.append({ x: [1], f: [2] });
    expect(await writer.commit()).toMatchObject({ revision: 2n, rowCount: 1001n });
    await expect(client.save('other', LINE, { expectedRevision: 0n })).rejects.toMatchObject({
      reason: 'REVISION_MISMATCH',
    });
    expect(await client.updateResult('other', { description: 'x' })).toMatchObject({ revision: 2n });
  });
});

describe('what the primary deleted', () => {
  test('does not come back from a secondary that still has it', async () => {
    await using stores = await twoStores({ secondary: await postgresql() });
    const { client } = stores;
    await saveRows(client, 'k', 100);
    await saveRows(client, 'kept', 100);
    await server.down();
    await client.deleteResult('k');
    await server.up();
    // The deletion may not have been copied yet.
    await expect(loadRows(client, 'k')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    expect((await keysOf(client)).keys).toEqual(['kept']);
    await expect.poll(async () => (await client.getStatus()).replication?.pendingCount, { timeout: 60_000 }).toBe(0n);
    await expect(client.load('k', { from: 'secondary' }).toColumns()).rejects.toMatchObject({
      reason: 'RESULT_NOT_FOUND',
    });
    expect((await fallbackOf(client)).repairedCount).toBe(0n);
  });
});

describe('a secondary that fails', () => {
  test('and is down hurts no load and no save; a list names it', async () => {
    await using stores = await twoStores({ secondary: await postgresql() });
    const { client } = stores;
    await saveRows(client, 'a', 100);
    await server.down();
    expect(await loadRows(client, 'a')).toMatchObject({ from: 'PRIMARY', stale: false });
    expect((await saveRows(client, 'b', 100)).revision).toBe(1n);
    expect(await keysOf(client)).toEqual({ keys: ['a', 'b'], unreachable: ['secondary'] });
    await client.deleteResult('a');
    expect((await keysOf(client)).keys).toEqual(['b']);
    await server.up();
  });

  test('and is corrupt or empty is not noticed while the primary serves', async () => {
    const path = await mkdtemp(join(tmpdir(), 'optistore-secondary-'));
    await using stores = await twoStores({ secondary: { type: 'leveldb', path } });
    const { client, daemon } = stores;
    await saveRows(client, 'k', MANY);
    await daemon.process.stop('SIGTERM');
    await damage(path, 0.5);
    await daemon.restart();
    expect(await loadRows(client, 'k')).toMatchObject({ from: 'PRIMARY', x: xOf(MANY) });
    await expect(client.load('k', { from: 'secondary' }).toColumns()).rejects.toMatchObject({
      reason: 'RESULT_CORRUPT',
    });
    await daemon.process.stop('SIGTERM');
    await rm(path, { recursive: true });
    await daemon.restart();
    expect(await loadRows(client, 'k')).toMatchObject({ from: 'PRIMARY', x: xOf(MANY) });
    // A later revision is copied whole again.
    await client.updateResult('k', { description: 'new' });
    await expect.poll(async () => (await client.getStatus()).replication?.pendingCount, { timeout: 20_000 }).toBe(0n);
    const { columns } = await client.load('k', { from: 'secondary' }).toColumns();
    expect(digest(columns['x'])).toBe(xOf(MANY));
  });
});

describe('the cache', () => {
  test('serves what it has while both stores are down or corrupt, once it is known which revision is asked for', async () => {
    await using stores = await twoStores({ primary: await postgresql(), use_cache: true });
    const { client } = stores;
    await saveRows(client, 'k', 1000);
    await loadRows(client, 'k');
    expect(await loadRows(client, 'k')).toMatchObject({ from: 'CACHE' });
    await server.down();
    // The secondary says which revision it has; its rows are in the cache.
    expect(await loadRows(client, 'k')).toMatchObject({ from: 'CACHE', stale: true, x: xOf(1000) });
    await server.up();
  });
});
