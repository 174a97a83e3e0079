import { create } from '@bufbuild/protobuf';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { Channel } from '../../clients/typescript/channel.js';
import { Backend, ResultState } from '../../proto/gen/optistore/v1/result_pb.js';
import { LoadResultRequestSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { createStorageManager } from '../../server/manager/storage-manager.js';
import { openGrpcDoor } from '../../server/rpc/doors/grpc.js';
import { createStorageService } from '../../server/rpc/storage-service.js';
import { asText } from '../backends/runs.js';
import { Http2Load } from './http2-load.js';
import { RawLoad, rawLoad } from './raw-load.js';
import { nextMillisecond, PROBLEM, RawSave, rowsFrom, sharedDaemon, TestDaemon } from './wire.js';

const { daemon, client, channel } = await sharedDaemon();

interface Open {
  readonly tags?: Record<string, string>;
  readonly append?: boolean;
  readonly toBackend?: Backend;
}

interface Follow {
  readonly uploadId?: string;
  readonly firstRow?: bigint;
  readonly columns?: string[];
  readonly maxBatchBytes?: number;
}

/** A save that is open. */
async function opened(key: string, uploadId: string, more: Open = {}, address = daemon.address): Promise<RawSave> {
  const save = new RawSave(address).send({ case: 'open', value: { key, uploadId, problem: PROBLEM, ...more } });
  await save.answer('opened');
  return save;
}

/** Sends rows and waits for their ack. */
async function acked(save: RawSave, firstRow: number, rowCount: number): Promise<void> {
  save.send({ case: 'batch', value: rowsFrom(firstRow, rowCount) }).send({ case: 'flush', value: {} });
  while (Number((await save.answer('ack')).durableRowCount) < firstRow + rowCount);
}

async function committed(save: RawSave, rowCount: number): Promise<void> {
  save.send({ case: 'commit', value: { rowCount: BigInt(rowCount) } });
  await save.answer('committed');
  await save.endAndWait();
}

/** A load that follows; its header has come. */
async function following(key: string, more: Follow = {}) {
  const load = new RawLoad(channel, { key, follow: true, ...more });
  await load.step();
  return load;
}

/** Number of the row behind those that came. */
const nextRow = ({ batches }: RawLoad) => {
  const last = batches.at(-1);
  return last === undefined ? 0 : Number(last.firstRow) + last.rowCount;
};

/** Reads on until a row has come. */
async function until(load: RawLoad, rowCount: number): Promise<void> {
  while (nextRow(load) < rowCount) await load.step();
}

describe('a load that follows a save', () => {
  test('gives rows as they are acked, and at the commit the rest and the result', async () => {
    const save = await opened('k/plain', 'plain', { tags: { a: '1' } });
    const load = await following('k/plain');
    expect(load.header).toMatchObject({
      result: { key: 'k/plain', uploadId: 'plain', state: ResultState.UPLOADING, tags: { a: '1' }, revision: 0n },
      ...{ firstRow: 0n, rowCount: 0n, variables: [{ name: 'x' }, { name: 'label' }] },
    });
    for (const firstRow of [0, 10, 20]) {
      await acked(save, firstRow, 10);
      await until(load, firstRow + 10);
      expect(nextRow(load)).toBe(firstRow + 10);
    }
    save.send({ case: 'batch', value: rowsFrom(30, 5000) });
    await committed(save, 5030);
    await load.toEnd();
    expect(load.cases).toEqual(['header', ...load.batches.map(() => 'batch'), 'trailer']);
    const whole = await rawLoad(channel, { key: 'k/plain' });
    expect(asText(load.rows())).toEqual(asText(whole.rows()));
    expect(load.trailerRowCount).toBe(5030n);
    expect(load.trailer?.result).toEqual(whole.header?.result);
  });

  test('that begins after the commit, by its id, has the same form', async () => {
    const save = await opened('k/late', 'late');
    await acked(save, 0, 100);
    await committed(save, 100);
    const load = await (await following('k/late', { uploadId: 'late', firstRow: 40n })).toEnd();
    expect(load.header?.result).toMatchObject({ uploadId: 'late', state: ResultState.UPLOADING, revision: 0n });
    expect(load.rows()).toMatchObject({ firstRow: 40, rowCount: 60 });
    expect(load.trailer).toMatchObject({ rowCount: 60n, result: { key: 'k/late', revision: 1n, rowCount: 100n } });
    const none = new RawLoad(channel, { key: 'k/late', follow: true });
    expect(await none.error()).toMatchObject({ reason: 'UPLOAD_NOT_FOUND', code: 5 });
  });

  test('of many at many places, begun before and after rows and the commit, each gets all from its row on', async () => {
    const save = await opened('k/many', 'many');
    const loads: { load: RawLoad; firstRow: number }[] = [];
    const begin = async () => {
      for (const firstRow of [0, 1, 777, 2000, 5999, 6000])
        loads.push({ load: await following('k/many', { uploadId: 'many', firstRow: BigInt(firstRow) }), firstRow });
    };
    await begin();
    for (let row = 0; row < 6000; row += 500) {
      await acked(save, row, 500);
      if (row === 2500) await begin();
    }
    await committed(save, 6000);
    await begin();
    const whole = (await rawLoad(channel, { key: 'k/many' })).header?.result;
    for (const { load, firstRow } of loads) {
      await load.toEnd();
      const batches = load.batches.filter(({ rowCount }) => rowCount > 0);
      let next = firstRow;
      for (const batch of batches) {
        expect(batch.firstRow).toBe(BigInt(next));
        const { values } = batch.columns[0] ?? {};
        const x = values?.case === 'float64Values' ? values.value.slice().buffer : new ArrayBuffer(0);
        expect(new Float64Array(x)).toEqual(Float64Array.from({ length: batch.rowCount }, (_, i) => next + i));
        next += batch.rowCount;
      }
      expect(next).toBe(6000);
      expect(load.trailer).toEqual(expect.objectContaining({ rowCount: BigInt(6000 - firstRow), result: whole }));
    }
  });

  test('gives chosen columns in batches of the size asked for', async () => {
    const save = await opened('k/columns', 'columns');
    await acked(save, 0, 40_000);
    const load = await following('k/columns', { columns: ['x'], maxBatchBytes: 65_536 });
    await until(load, 40_000);
    expect(load.header?.variables.map(({ name }) => name)).toEqual(['x']);
    expect(Math.max(...load.messageBytes)).toBeLessThan(65_536 * 1.1 + 100);
    await committed(save, 40_000);
    await load.toEnd();
  });

  test('takes the upload of the key that was opened last, unless it is told which', async () => {
    const first = await opened('k/two', 'b-first');
    await acked(first, 0, 1);
    await nextMillisecond();
    const second = await opened('k/two', 'a-second');
    await acked(second, 0, 2);
    expect((await following('k/two')).header?.result).toMatchObject({ uploadId: 'a-second', rowCount: 2n });
    const told = await following('k/two', { uploadId: 'b-first' });
    expect(told.header?.result).toMatchObject({ uploadId: 'b-first', rowCount: 1n });
    for (const save of [first, second]) save.cancel();
    told.cancel();
  });

  test('goes on with an upload that another stream takes over', async () => {
    const first = await opened('k/taken', 'taken');
    await acked(first, 0, 10);
    const load = await following('k/taken');
    await until(load, 10);
    const second = await opened('k/taken', 'taken');
    expect(await first.error()).toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
    await acked(second, 10, 10);
    await until(load, 20);
    await committed(second, 20);
    expect((await load.toEnd()).rows().rowCount).toBe(20);
  });

  test('of an append gives the rows before too', async () => {
    const save = await opened('k/append', 'append-1');
    await acked(save, 0, 10);
    await committed(save, 10);
    const more = await opened('k/append', 'append-2', { append: true });
    await acked(more, 10, 5);
    const load = await following('k/append');
    await until(load, 15);
    await committed(more, 15);
    await load.toEnd();
    expect(asText(load.rows())).toEqual(asText((await rawLoad(channel, { key: 'k/append' })).rows()));
    expect(load.trailer?.result).toMatchObject({ revision: 2n, rowCount: 15n });
  });

  test('of a save to the cache alone is served from there', async () => {
    const save = await opened('k/pinned', 'pinned', { toBackend: Backend.CACHE });
    await acked(save, 0, 10);
    const load = await following('k/pinned');
    expect(load.header?.servedFrom).toBe(Backend.CACHE);
    await until(load, 10);
    save.send({ case: 'batch', value: rowsFrom(10, 10) });
    await committed(save, 20);
    await load.toEnd();
    expect(load.rows()).toMatchObject({ firstRow: 0, rowCount: 20 });
    expect(load.trailer?.result).toMatchObject({ key: 'k/pinned', rowCount: 20n });
  });

  test('from a row ahead waits for it; of a commit with fewer rows it ends with ROW_RANGE_INVALID', async () => {
    const save = await opened('k/ahead', 'ahead');
    const [soon, never] = [
      await following('k/ahead', { firstRow: 15n }),
      await following('k/ahead', { firstRow: 21n }),
    ];
    await acked(save, 0, 20);
    await until(soon, 20);
    expect(soon.batches[0]?.firstRow).toBe(15n);
    await committed(save, 20);
    expect((await soon.toEnd()).trailerRowCount).toBe(5n);
    expect(await never.error()).toMatchObject({ reason: 'ROW_RANGE_INVALID', code: 11 });
  });

  test('ends with UPLOAD_ABORTED when the upload is given up', async () => {
    const save = await opened('k/aborted', 'aborted');
    await acked(save, 0, 10);
    const load = await following('k/aborted');
    await until(load, 10);
    const error = load.error();
    await client.abortUpload('aborted');
    expect(await error).toMatchObject({ reason: 'UPLOAD_ABORTED', code: 5 });
    save.cancel();
  });

  test.each([
    ['revision', { revision: 1n }],
    ['row_count', { rowCount: 1n }],
    ['result_set', { resultSet: 'a' }],
    ['backend', { backend: 1 }],
    ['max_batch_bytes', { maxBatchBytes: 1 }],
    ['upload_id', { uploadId: 'no blanks' }],
    ['first_row', { firstRow: 2n ** 60n }],
    ['upload_id', { uploadId: 'u', follow: false }],
  ])('is refused with a wrong %s, by its name', async (name, wrong) => {
    const error = await new RawLoad(channel, { key: 'k/wrong', follow: true, ...wrong }).error();
    expect(error).toMatchObject({ reason: 'REQUEST_INVALID', code: 3 });
    expect(error.message.toLowerCase()).toContain(name);
  });

  test('is refused for what is not there, before the header', async () => {
    const save = await opened('k/there', 'there');
    const wrong = [
      [{ key: 'k/nothing' }, 'UPLOAD_NOT_FOUND'],
      [{ key: 'k/there', uploadId: 'nothing' }, 'UPLOAD_NOT_FOUND'],
      [{ key: 'k/other', uploadId: 'there' }, 'UPLOAD_CONFLICT'],
      [{ key: 'k/there', columns: ['y'] }, 'COLUMN_NOT_FOUND'],
      [{ key: '/k' }, 'KEY_INVALID'],
    ] as const;
    for (const [request, reason] of wrong) {
      const load = new RawLoad(channel, {
        follow: true,
        ...request,
        columns: [...('columns' in request ? request.columns : [])],
      });
      expect(await load.error()).toMatchObject({ reason });
      expect(load.cases).toEqual([]);
    }
    save.cancel();
  });

  test('and never reads slows neither the save nor who reads', async () => {
    const save = await opened('k/slow', 'slow');
    const lazy = channel.load(create(LoadResultRequestSchema, { key: 'k/slow', uploadId: 'slow', follow: true }));
    const load = await following('k/slow');
    const reading = load.toEnd();
    // 20 MB: more than all windows and buffers on the way to who does not read.
    for (let row = 0; row < 1_600_000; row += 100_000) await acked(save, row, 100_000);
    await committed(save, 1_600_000);
    expect((await reading).trailerRowCount).toBe(1_600_000n);
    lazy.cancel();
  });
});

describe('the daemon of a follower', () => {
  test('that stops says SHUTTING_DOWN, and at which row to go on', async () => {
    await using own = await TestDaemon.start();
    const save = await opened('k', 'u', {}, own.address);
    await acked(save, 0, 100);
    const load = new Http2Load(own.address, { key: 'k', follow: true });
    expect((await load.next())?.message.case).toBe('header');
    expect((await load.next())?.message).toMatchObject({ case: 'batch', value: { rowCount: 100 } });
    const ended = own.process.stop('SIGTERM');
    while ((await load.next()) !== undefined);
    const { code, info } = await load.status();
    load.close();
    expect({ code, reason: info?.reason }).toEqual({ code: 14, reason: 'SHUTTING_DOWN' });
    expect(info?.metadata['next_row']).toBe('100');
    expect(await ended).toBe(0);
    save.cancel();
  });

  test('that is killed has every row that a follower saw', async () => {
    await using own = await TestDaemon.start();
    const ownChannel = new Channel(own.address);
    const save = await opened('k', 'u', {}, own.address);
    const load = new RawLoad(ownChannel, { key: 'k', follow: true });
    let sent = 0;
    const sending = setInterval(() => {
      save.send({ case: 'batch', value: rowsFrom(sent, 50) });
      sent += 50;
    }, 1);
    try {
      await until(load, 2000);
    } finally {
      clearInterval(sending);
    }
    await own.process.stop('SIGKILL');
    await load.error();
    ownChannel.close();
    save.cancel();
    await own.restart();
    const again = new RawSave(own.address).send({ case: 'open', value: { key: 'k', uploadId: 'u' } });
    expect(Number((await again.answer('opened')).nextRow)).toBeGreaterThanOrEqual(nextRow(load));
    await again.endAndWait();
  });

  test('sends a batch without rows when none come for a while', async () => {
    await using manager = await createStorageManager({ primary: { type: 'memory', max_memory_mb: 16 } });
    const handlers = createStorageService(manager, {
      ...{ version: 'test', startTime: new Date(), streamIdleTimeoutMs: 60_000, followHeartbeatMs: 20 },
    });
    const door = await openGrpcDoor({
      ...{ handlers, listen: '127.0.0.1:0', log: pino({ level: 'silent' }), streamIdleTimeoutMs: 60_000 },
    });
    const ownChannel = new Channel(door.address);
    const save = await opened('k', 'u', {}, door.address);
    const load = new RawLoad(ownChannel, { key: 'k', follow: true });
    while (load.batches.length < 2) await load.step();
    expect(load.batches).toMatchObject([
      { firstRow: 0n, rowCount: 0, columns: [], crc32: 0 },
      { firstRow: 0n, rowCount: 0 },
    ]);
    await acked(save, 0, 5);
    await until(load, 5);
    await load.step();
    expect(load.batches.at(-1)).toMatchObject({ firstRow: 5n, rowCount: 0 });
    await committed(save, 5);
    expect((await load.toEnd()).trailerRowCount).toBe(5n);
    ownChannel.close();
    await door.drain();
  });
});
