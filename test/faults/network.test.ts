import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { create } from '@bufbuild/protobuf';
import { Channel } from '../../clients/typescript/channel.js';
import { createClient, OptistoreError, type OptistoreClient } from '../../clients/typescript/index.js';
import type { ResultWriter } from '../../clients/typescript/writer.js';
import { ProblemSchema, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Batch } from '../../server/rows/batch.js';
import { schemaOf } from '../../server/rows/batch.js';
import { encodeColumns } from '../../server/rows/columns.js';
import { sliceBatch } from '../../server/rows/slice.js';
import { toRowBatch } from '../../server/rows/wire.js';
import { all, asText } from '../backends/runs.js';
import { RawLoad, rawLoad } from '../rpc/raw-load.js';
import { RawSave, TestDaemon } from '../rpc/wire.js';
import { campaign, IS_LONG } from './campaign.js';
import { expectNothingLeft, openFiles } from './daemon-holdings.js';
import { FILE_STORES } from './killed-daemon.js';
import { openOwnDoor } from './own-door.js';
import { FaultyProxy, type Fault } from './proxy.js';

/** Cuts of a round; they go on beside each other. */
const CUTS_A_ROUND = 16;
/** Of eights, so that bitmaps have no bits left over. */
const ROWS = 32;
/** Rows of a save between two flushes. */
const ROWS_A_FLUSH = 8;

/** Rows that a stream sends once more, as one that was not told that they arrived: a batch of them and some of another. */
const ROWS_AGAIN = 12;

/** More than either end sends before it has the other one's settings. */
const HANDSHAKE_BYTES = 150;

const PROBLEM = create(ProblemSchema, {
  name: 'network',
  variables: [
    { name: 'f', role: VariableRole.OBSERVABLE, valueType: ValueType.FLOAT64 },
    { name: 'i', role: VariableRole.OBSERVABLE, valueType: ValueType.INT64 },
    { name: 's', role: VariableRole.OBSERVABLE, valueType: ValueType.STRING },
  ],
});
const SCHEMA = schemaOf(PROBLEM.variables);

/** Columns of rows, no two alike; doubles have all bits, NaNs with a payload among them. */
function columnsOf(firstRow: number, rowCount: number) {
  const rows = Array.from({ length: rowCount }, (_, i) => firstRow + i);
  const bits = BigInt64Array.from(rows, (row) => BigInt.asIntN(64, BigInt(row + 1) * 0x9e3779b97f4a7c15n));
  if (firstRow === 0) bits[0] = 0x7ff0000000000abcn;
  return {
    f: new Float64Array(bits.buffer),
    i: BigInt64Array.from(rows, (row) => BigInt(row) * -7n),
    s: rows.map((row) => (row % 5 === 4 ? null : `row ${row} ü`)),
  };
}

function batchOf(rowCount: number): Batch {
  return { firstRow: 0, ...encodeColumns(PROBLEM.variables, columnsOf(0, rowCount)) };
}

let daemon: TestDaemon;
let channel: Channel;
let direct: OptistoreClient;
let before: Awaited<ReturnType<typeof openFiles>>;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  channel = new Channel(daemon.address);
  direct = createClient({ address: daemon.address });
  await saveByClient(daemon.address, 'small');
  // The first call of a channel makes its connection.
  await expectSaved('small');
  before = await openFiles(daemon.process.pid);
});

afterAll(async () => {
  channel.close();
  direct.close();
  await daemon[Symbol.asyncDispose]();
});

/** Rows of a result whose load has several messages. */
const LARGE_ROWS = 8000;

/** Tries until the network lets it through: before the first answer a client gives its caller the error. */
async function insisting<T>(act: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof OptistoreError) || !error.isRetryable) throw error;
    }
  }
}

/** Saves ROWS rows by a client, which resumes by itself. */
async function saveByClient(address: string, key: string, keepalive = { everyMs: 20_000, answerMs: 40_000 }) {
  await using client = createClient({ address, keepalive });
  const writer: ResultWriter = await insisting(() => client.save(key, PROBLEM, { uploadId: key.replace('/', '-') }));
  for (let row = writer.nextRow; row < ROWS; row += ROWS_A_FLUSH) {
    await writer.append(columnsOf(row, ROWS_A_FLUSH));
    await writer.flush();
  }
  expect(await writer.commit()).toMatchObject({ rowCount: BigInt(ROWS), revision: 1n });
}

/** Saves ROWS rows by bare streams, each of which sends some of the rows again that the daemon has. */
async function saveByStreams(address: string, key: string): Promise<void> {
  const run = batchOf(ROWS);
  await insisting(async () => {
    const save = new RawSave(address);
    try {
      save.send({ case: 'open', value: { key, uploadId: key.replace('/', '-'), problem: PROBLEM } });
      const { nextRow, committed } = await save.answer('opened');
      const again = Math.max(0, Number(nextRow) - ROWS_AGAIN);
      for (let row = again; row < ROWS && committed === undefined; row += ROWS_A_FLUSH) {
        // All but the first begin with rows of the one before.
        const from = Math.max(again, row - ROWS_AGAIN);
        const part = sliceBatch(SCHEMA, run, from, Math.min(row + ROWS_A_FLUSH, ROWS) - from);
        save.send({ case: 'batch', value: toRowBatch(part, PROBLEM.variables) }).send({ case: 'flush', value: {} });
      }
      save.send({ case: 'commit', value: { rowCount: BigInt(ROWS) } });
      const { result } = await save.answer('committed');
      expect(result).toMatchObject({ rowCount: BigInt(ROWS), revision: 1n });
    } catch (thrown) {
      throw thrown instanceof Error && 'code' in thrown ? save.explain(thrown) : cutOff();
    } finally {
      save.cancel();
    }
  });
}

function cutOff(): OptistoreError {
  return new OptistoreError('the stream ended early', 14, undefined, {});
}

/** Loads a result by a client, which resumes by itself, and compares every bit. */
async function loadByClient(
  address: string,
  key: string,
  rowCount: number,
  keepalive?: { everyMs: number; answerMs: number },
) {
  await using client = createClient({ address, ...(keepalive && { keepalive }) });
  const { columns } = await insisting(() => client.load(key, { maxBatchBytes: 65_536 }).toColumns());
  const bits = (values: unknown) => Buffer.from((values as Float64Array).buffer).toString('hex');
  const { f, i, s } = columnsOf(0, rowCount);
  expect(bits(columns['f']?.values)).toBe(bits(f));
  expect(bits(columns['i']?.values)).toBe(bits(i));
  expect(columns['s']?.values).toEqual(s.map((value) => value ?? ''));
}

/** Loads a result by bare streams, each from the row where the last one broke, and compares every bit. */
async function loadByStreams(address: string, key: string, rowCount: number): Promise<void> {
  const ownChannel = new Channel(address);
  const parts: RawLoad[] = [];
  const done = () => parts.flatMap(({ batches }) => batches);
  await insisting(async () => {
    const firstRow = BigInt(done().reduce((sum, batch) => sum + batch.rowCount, 0));
    const load = new RawLoad(ownChannel, { key, revision: 1n, firstRow, maxBatchBytes: 65_536 });
    parts.push(load);
    await load.toEnd();
    if (load.trailer === undefined) throw cutOff();
  });
  ownChannel.close();
  const [first] = parts;
  if (first === undefined) return;
  first.batches.splice(0, Infinity, ...done());
  first.header = parts.at(-1)?.header;
  expect(asText(first.rows())).toEqual(asText(batchOf(rowCount)));
}

/** Watches from the first event on, by a client, which reconnects by itself, until all results have been told. */
async function watchByClient(address: string, keys: readonly string[]): Promise<void> {
  await using client = createClient({ address });
  const told: string[] = [];
  for await (const { event } of client.watch({ prefix: 'watched/', afterEvent: 0n })) {
    if (event.case === 'committed') told.push(event.value.key);
    if (event.case === 'committed' && event.value.key === keys.at(-1)) break;
  }
  expect(told).toEqual(keys);
}

/** That the daemon has the rows of a save: each once, every bit, one revision. */
async function expectSaved(key: string): Promise<void> {
  expect(asText((await rawLoad(channel, { key })).rows())).toEqual(asText(batchOf(ROWS)));
  expect(await direct.getResult(key)).toMatchObject({ revision: 1n, rowCount: BigInt(ROWS) });
}

type Act = (address: string, name: string) => Promise<void>;

/** How many bytes an act sends and gets when nothing goes wrong. */
async function lengthOf(act: Act, address = daemon.address): Promise<{ up: number; down: number }> {
  await using proxy = await FaultyProxy.start(address, () => undefined);
  await act(proxy.address, 'whole');
  return { ...proxy.passed };
}

const KINDS = ['close', 'reset'] as const;

/** Cuts of a campaign: all of them, one behind the other, or some by the dice. A second cut meets every other retry. */
function cutsOf(
  roll: () => number,
  round: number,
  { up, down }: { up: number; down: number },
  isAll: boolean,
): Fault[][] {
  const bytes = up + down;
  const at = (number: number): Fault => {
    const position = Math.floor(number / KINDS.length) % bytes;
    const kind = KINDS[number % KINDS.length] ?? 'close';
    return position < up
      ? { direction: 'up', afterBytes: position, kind }
      : { direction: 'down', afterBytes: position - up, kind };
  };
  return Array.from({ length: CUTS_A_ROUND }, (_, i) => {
    const any = () => at(Math.floor(roll() * bytes * KINDS.length));
    const first = isAll ? at(round * CUTS_A_ROUND + i) : any();
    return roll() < 0.5 ? [first] : [first, any()];
  });
}

/** A daemon, and what it holds when nobody calls. */
interface Target {
  readonly daemon: TestDaemon;
  readonly before: Awaited<ReturnType<typeof openFiles>>;
}

/** Runs an act through a proxy that cuts, at each byte where long, at some where short. */
async function cutEverywhere(
  fault: string,
  act: Act,
  short: number,
  isAll = IS_LONG,
  target: Target = { daemon, before },
): Promise<void> {
  const { address } = target.daemon;
  const length = await lengthOf(act, address);
  const all = Math.ceil(((length.up + length.down) * KINDS.length) / CUTS_A_ROUND);
  await campaign(fault, { short, long: isAll ? all : 100 }, async (roll, round) => {
    const cuts = cutsOf(roll, round, length, isAll);
    const results = await Promise.allSettled(
      cuts.map(async (faults, i) => {
        await using proxy = await FaultyProxy.start(address, (connection) => faults[connection]);
        await act(proxy.address, `${round}-${i}`);
      }),
    );
    for (const [i, result] of results.entries())
      if (result.status === 'rejected') throw new Error(`cut at ${JSON.stringify(cuts[i])}`, { cause: result.reason });
    return cuts.length;
  });
  await expectNothingLeft(target.daemon, target.before);
}

describe('a connection that is cut at any byte', () => {
  test('leaves a save by the client whole: every row once, one revision', () =>
    cutEverywhere(
      'network: save by the client, cut',
      async (address, name) => {
        await saveByClient(address, `client/${name}`);
        await expectSaved(`client/${name}`);
      },
      3,
    ));

  test('leaves a save by bare streams whole: every row once, one revision', () =>
    cutEverywhere(
      'network: save by streams, cut',
      async (address, name) => {
        await saveByStreams(address, `streams/${name}`);
        await expectSaved(`streams/${name}`);
      },
      3,
    ));

  test('leaves a load by the client whole', () =>
    cutEverywhere('network: load by the client, cut', (address) => loadByClient(address, 'small', ROWS), 2));

  test('leaves a load by bare streams whole', () =>
    cutEverywhere('network: load by streams, cut', (address) => loadByStreams(address, 'small', ROWS), 2));

  test('leaves a watch whole: every event once, in order', async () => {
    const keys = ['watched/a', 'watched/b', 'watched/c'];
    for (const key of keys) await saveByClient(daemon.address, key);
    await cutEverywhere('network: watch, cut', (address) => watchByClient(address, keys), 2);
  });

  test.each(FILE_STORES)(
    'leaves a load of many messages whole, and none of the files open that $name read for it',
    async ({ name, settings }) => {
      // What the cache has is not read again.
      await using bare = await TestDaemon.startIn((folder) => ({ primary: settings(folder), use_cache: false }));
      await using client = createClient({ address: bare.address });
      const writer = await client.save('large', PROBLEM);
      await writer.append(columnsOf(0, LARGE_ROWS));
      await writer.commit();
      const held = await openFiles(bare.process.pid);
      await cutEverywhere(
        `network: long load of ${name}, cut`,
        async (address) => {
          await loadByClient(address, 'large', LARGE_ROWS);
          await loadByStreams(address, 'large', LARGE_ROWS);
        },
        1,
        false,
        { daemon: bare, before: held },
      );
    },
  );
});

describe('a connection that goes slow or silent', () => {
  test('at a byte at a time still gives every row, both ways', () =>
    campaign('network: a trickle', { short: 1, long: 5 }, async (_, round) => {
      for (const direction of ['up', 'down'] as const) {
        const fault = { direction, afterBytes: 0, kind: 'trickle' } as const;
        await using proxy = await FaultyProxy.start(daemon.address, () => fault);
        await saveByClient(proxy.address, `trickle/${direction}-${round}`);
        await expectSaved(`trickle/${direction}-${round}`);
        await loadByClient(proxy.address, `trickle/${direction}-${round}`, ROWS);
      }
      await expectNothingLeft(daemon, before);
      return 4;
    }));

  test('is noticed by both ends, which let go of it; the client makes a new one and loses nothing', async () => {
    const keepalive = { everyMs: 100, answerMs: 200 };
    await using door = await openOwnDoor({ connectionSilenceMs: 100 });
    await using own = createClient({ address: door.address });
    const length = await lengthOf(async (address, name) => saveByClient(address, `silent/${name}`));
    await campaign('network: a stall', { short: 1, long: 40 }, async (roll, round) => {
      // Behind the handshake: before its end grpc-js itself gives up, after 20 s, as with a black hole.
      const stalls = cutsOf(roll, round, length, false).map(
        ([first]) => ({ ...first, afterBytes: HANDSHAKE_BYTES + (first?.afterBytes ?? 0) }) as Fault,
      );
      await Promise.all(
        stalls.map(async (fault, i) => {
          const faultOf = (connection: number) => (connection === 0 ? { ...fault, kind: 'stall' as const } : undefined);
          await using proxy = await FaultyProxy.start(door.address, faultOf);
          await saveByClient(proxy.address, `silent/${round}-${i}`, keepalive);
          await using stalled = await FaultyProxy.start(door.address, faultOf);
          await loadByClient(stalled.address, `silent/${round}-${i}`, ROWS, keepalive);
        }),
      );
      while ((await own.getStatus()).streamCount !== 0n) await sleep(20);
      expect(await own.getStatus()).toMatchObject({ streamCount: 0n, uploadCount: 0n });
      return stalls.length;
    });
  });

  test('takes its upload with it: nobody else has to wait for a client that is gone without a word', async () => {
    await using door = await openOwnDoor({ connectionSilenceMs: 100 });
    await using own = createClient({ address: door.address });
    await using proxy = await FaultyProxy.start(door.address, () => undefined);
    const save = new RawSave(proxy.address);
    save.send({ case: 'open', value: { key: 'gone', uploadId: 'gone', problem: PROBLEM } });
    const run = toRowBatch(batchOf(ROWS), PROBLEM.variables);
    save.send({ case: 'batch', value: run }).send({ case: 'flush', value: {} });
    await save.answer('ack');
    proxy.stall();
    const uploads = () => all(own.listUploads({ prefix: 'gone' }));
    while ((await uploads())[0]?.hasStream !== false) await sleep(20);
    expect(await own.getStatus()).toMatchObject({ streamCount: 0n, uploadCount: 1n });
    expect(await uploads()).toMatchObject([{ durableRowCount: BigInt(ROWS) }]);
    save.cancel();
  });

  // grpc-js gives a connection 20 s to be made.
  if (IS_LONG)
    test('from its first byte on is given up by the client', () =>
      campaign('network: a black hole', { short: 1, long: 1 }, async () => {
        await using proxy = await FaultyProxy.start(daemon.address, () => 'blackhole');
        await using client = createClient({ address: proxy.address });
        await expect(client.getStatus()).rejects.toMatchObject({ code: 14, isRetryable: true });
      }));
});
