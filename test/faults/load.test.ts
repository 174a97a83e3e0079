import type { Settings } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { LoadResultRequestSchema, SaveResultRequestSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { floats } from '../rpc/sample-runs.js';
import { pathOf, TestDaemon } from '../rpc/wire.js';
import { BareHttp2, framed, framedMessage } from './bare-http2.js';
import { campaign, IS_LONG } from './campaign.js';
import { expectNothingLeft, memoryMib, MEMORY_MIB_MAX, openFiles } from './daemon-holdings.js';
import { FaultyProxy } from './proxy.js';

const MIB = 1024 * 1024;
/** Writers, and as many readers. */
const WORKERS = IS_LONG ? 64 : 16;
/** Of each kind of bad ones. */
const BAD_ONES = 50;
/** How long the good ones work without the bad ones, and then as long with them. */
const PHASE_MS = IS_LONG ? 60_000 : 4000;
/** 8 columns of 2000 rows: 125 KiB. */
const COLUMNS = 8;
const ROWS_A_BATCH = 2000;
/** A result that no buffer on the way to a reader has room for. */
const LARGE_BYTES = 48 * MIB;

const PROBLEM = floats(COLUMNS);

function batchOf(rowCount: number, from = 0): Record<string, Float64Array> {
  const columns = PROBLEM.variables.map(
    ({ name }, c) => [name, Float64Array.from({ length: rowCount }, (_, r) => from + r + c / 1000)] as const,
  );
  return Object.fromEntries(columns);
}

/** Milliseconds that things took. */
class Times {
  private readonly ms: number[] = [];

  async of<T>(act: () => Promise<T>): Promise<T> {
    const start = performance.now();
    const result = await act();
    this.ms.push(performance.now() - start);
    return result;
  }

  get count(): number {
    return this.ms.length;
  }

  /** What 99 of 100 took at most. */
  get p99(): number {
    const sorted = this.ms.sort((a, b) => a - b);
    return Math.round(sorted[Math.floor(sorted.length * 0.99)] ?? NaN);
  }
}

/** Saves results batch by batch, each flushed, until the time is up. */
async function write(client: OptistoreClient, name: string, endMs: number, flushes: Times): Promise<void> {
  for (let n = 0; Date.now() < endMs; n++) {
    const writer = await client.save(`load/${name}/${n % 2}`, PROBLEM);
    for (let batch = 0; batch < 10; batch++) {
      await flushes.of(async () => {
        await writer.append(batchOf(ROWS_A_BATCH, batch * ROWS_A_BATCH));
        await writer.flush();
      });
    }
    expect((await writer.commit()).rowCount).toBe(BigInt(10 * ROWS_A_BATCH));
  }
}

/** Loads a result of 1.2 MiB, whole, and looks at its ends, until the time is up. */
async function read(client: OptistoreClient, endMs: number, loads: Times): Promise<void> {
  while (Date.now() < endMs) {
    const { columns } = await loads.of(() => client.load('load/read').toColumns());
    expect(columns['c0']?.values[0]).toBe(0);
    expect(columns['c7']?.values.at(-1)).toBe(10 * ROWS_A_BATCH - 1 + 0.007);
  }
}

/** The good ones, for a phase. */
async function work(address: string, phase: string, forMs = PHASE_MS): Promise<{ flushes: Times; loads: Times }> {
  const clients = Array.from({ length: WORKERS }, () => createClient({ address }));
  const [flushes, loads, endMs] = [new Times(), new Times(), Date.now() + forMs];
  await Promise.all(
    clients.flatMap((client, i) => [write(client, `${phase}-${i}`, endMs, flushes), read(client, endMs, loads)]),
  );
  for (const client of clients) client.close();
  return { flushes, loads };
}

/** The bad ones: who reads nothing, and who sends a byte a second. They go on until they are disposed of. */
async function misbehave(address: string): Promise<AsyncDisposable> {
  const connections: BareHttp2[] = [];
  const call = (at: string, rpc: string, settings?: Settings) => {
    const connection = new BareHttp2(at, settings);
    connections.push(connection);
    return connection.call(pathOf({ name: rpc }));
  };
  const load = framedMessage(LoadResultRequestSchema, { key: 'load/large' });
  // Half of the readers keep their window shut, …
  for (let i = 0; i < BAD_ONES / 2; i++) call(address, 'LoadResult').end(load);
  // … half open it wide and leave the bytes to the kernel.
  const stall = { direction: 'down', afterBytes: 100_000, kind: 'stall' } as const;
  const proxy = await FaultyProxy.start(address, () => stall);
  for (let i = 0; i < BAD_ONES / 2; i++) call(proxy.address, 'LoadResult', { initialWindowSize: 64 * MIB }).end(load);
  const open = { case: 'open' as const, value: { key: 'load/slow', problem: PROBLEM } };
  const slow = Array.from({ length: BAD_ONES }, () => {
    const stream = call(address, 'SaveResult');
    stream.write(framedMessage(SaveResultRequestSchema, { message: open }));
    stream.write(framed(new Uint8Array(0), 0, MIB));
    return stream;
  });
  const timer = setInterval(() => slow.forEach((stream) => stream.write(Buffer.of(0))), 1000);
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      for (const connection of connections) connection[Symbol.dispose]();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

describe('under load', () => {
  let daemon: TestDaemon;
  let client: OptistoreClient;

  beforeAll(async () => {
    daemon = await TestDaemon.start();
    client = createClient({ address: daemon.address });
    for (const [key, rowCount] of [
      ['load/read', 10 * ROWS_A_BATCH],
      ['load/large', LARGE_BYTES / 8 / COLUMNS],
    ] as const) {
      const writer = await client.save(key, PROBLEM);
      await writer.append(batchOf(rowCount));
      await writer.commit();
    }
  });

  afterAll(async () => {
    client.close();
    await daemon[Symbol.asyncDispose]();
  });

  test('stopped readers and writers of a byte a second cost no more memory than is said, and the others work on', () =>
    campaign('load: stopped readers, slow writers', { short: 1, long: 1 }, async () => {
      const before = await openFiles(daemon.process.pid);
      await work(daemon.address, 'warm', PHASE_MS / 4);
      const alone = await work(daemon.address, 'alone');
      const aloneMib = memoryMib(daemon.process.pid, 'VmHWM');
      const bad = await misbehave(daemon.address);
      // Looked at on the way: without bounds, neither the daemon nor this test would get to the end.
      const expectInBounds = () => expect(memoryMib(daemon.process.pid, 'VmHWM')).toBeLessThan(MEMORY_MIB_MAX);
      for (let streams = 0n; streams < BigInt(2 * BAD_ONES); streams = (await client.getStatus()).streamCount) {
        expectInBounds();
        await sleep(50);
      }
      expectInBounds();
      const together = await work(daemon.address, 'together');
      const mib = memoryMib(daemon.process.pid, 'VmHWM');
      await bad[Symbol.asyncDispose]();
      process.stdout.write(
        `p99 of a flush ${alone.flushes.p99} ms alone, ${together.flushes.p99} ms beside the bad ones; of a load of 1.2 MiB ` +
          `${alone.loads.p99} and ${together.loads.p99} ms. Memory at its highest ${Math.round(aloneMib)} and ${Math.round(mib)} MiB.\n`,
      );
      expect(together.flushes.count).toBeGreaterThan(0);
      expect(together.loads.count).toBeGreaterThan(0);
      expect(mib).toBeLessThan(MEMORY_MIB_MAX);
      await expectNothingLeft(daemon, before);
      return alone.flushes.count + alone.loads.count + together.flushes.count + together.loads.count;
    }));
});
