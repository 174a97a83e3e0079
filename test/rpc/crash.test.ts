import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { PROBLEM, RawSave, rowsFrom, TestDaemon } from './wire.js';

const columnsOf = (first: number, count: number) => ({
  x: Float64Array.from({ length: count }, (_, i) => first + i),
  label: Array.from({ length: count }, (_, i) => `row ${first + i}`),
});

describe('SIGKILL of the daemon', () => {
  test('in mid-stream loses no acknowledged row, and the client goes on by itself', async () => {
    await using daemon = await TestDaemon.start();
    await using client = createClient({ address: daemon.address, retryMs: 30_000 });
    let reconnects = 0;
    const writer = await client.save('killed', PROBLEM, { onReconnect: () => reconnects++ });
    const rowCount = 60_000;
    for (let row = 0, kills = 0; row < rowCount; row += 100) {
      await writer.append(columnsOf(row, 100));
      // At rows that have nothing to do with where acks fall, while rows are on their way.
      if (row >= (kills + 1) * 13_700) {
        kills++;
        await daemon.process.stop('SIGKILL');
        await daemon.restart();
      }
    }
    expect((await writer.commit()).rowCount).toBe(BigInt(rowCount));
    expect(reconnects).toBeGreaterThanOrEqual(3);
    const { columns } = await client.load('killed').toColumns();
    expect(columns['x']?.values).toEqual(columnsOf(0, rowCount).x);
    expect(columns['label']?.values).toEqual(columnsOf(0, rowCount).label);
  });

  test('right behind an ack keeps the rows of that ack, whatever their size', async () => {
    await using daemon = await TestDaemon.start();
    for (const [i, count] of [1, 7, 3000, 60_000].entries()) {
      const save = new RawSave(daemon.address);
      const open = { key: `acked/${i}`, uploadId: `acked-${i}`, problem: PROBLEM };
      await save.send({ case: 'open', value: open }).answer('opened');
      save.send({ case: 'batch', value: rowsFrom(0, count) }).send({ case: 'flush', value: {} });
      expect((await save.answer('ack')).durableRowCount).toBe(BigInt(count));
      await daemon.process.stop('SIGKILL');
      save.cancel();
      await daemon.restart();
      const again = new RawSave(daemon.address);
      const opened = await again.send({ case: 'open', value: open }).answer('opened');
      expect(opened.nextRow).toBe(BigInt(count));
      again.send({ case: 'commit', value: { rowCount: BigInt(count) } });
      expect((await again.answer('committed')).result?.rowCount).toBe(BigInt(count));
      again.end();
    }
  });

  test('while a load runs: the client goes on with it, in the same revision', async () => {
    await using daemon = await TestDaemon.start();
    await using client = createClient({ address: daemon.address, retryMs: 30_000 });
    const writer = await client.save('loaded', PROBLEM);
    for (let row = 0; row < 400_000; row += 20_000) await writer.append(columnsOf(row, 20_000));
    await writer.commit();
    let rows = 0;
    let wasKilled = false;
    for await (const batch of client.load('loaded', { columns: ['x'], maxBatchBytes: 65_536 })) {
      expect(batch.firstRow).toBe(rows);
      rows += batch.rowCount;
      if (rows > 100_000 && !wasKilled) {
        wasKilled = true;
        await daemon.process.stop('SIGKILL');
        await daemon.restart();
      }
    }
    expect(rows).toBe(400_000);
  });
});

describe('SIGTERM of the daemon', () => {
  test('syncs what it has received, tells an open save where to go on, and ends with 0', async () => {
    await using daemon = await TestDaemon.start();
    const save = new RawSave(daemon.address);
    const open = { key: 'drained', uploadId: 'drained', problem: PROBLEM };
    await save.send({ case: 'open', value: open }).answer('opened');
    save.send({ case: 'batch', value: rowsFrom(0, 50) }).send({ case: 'flush', value: {} });
    await save.answer('ack');
    save.send({ case: 'batch', value: rowsFrom(50, 7) });
    await setTimeout(20);
    const stopped = daemon.process.stop('SIGTERM');
    const error = await save.error();
    expect(error).toMatchObject({ reason: 'SHUTTING_DOWN', code: 14, isRetryable: true });
    expect(error.metadata).toMatchObject({ next_row: '57', upload_id: 'drained' });
    expect(await stopped).toBe(0);
    await daemon.restart();
    const again = new RawSave(daemon.address);
    expect((await again.send({ case: 'open', value: open }).answer('opened')).nextRow).toBe(57n);
    again.cancel();
  });

  test('and a start anew go unnoticed by a client that saves', async () => {
    await using daemon = await TestDaemon.start();
    await using client = createClient({ address: daemon.address, retryMs: 30_000 });
    const writer = await client.save('restarted', PROBLEM);
    for (let row = 0; row < 4000; row += 100) {
      await writer.append(columnsOf(row, 100));
      if (row === 2000) {
        await daemon.process.stop('SIGTERM');
        await daemon.restart();
      }
    }
    expect((await writer.commit()).rowCount).toBe(4000n);
    const { columns } = await client.load('restarted').toColumns();
    expect(columns['label']?.values).toEqual(columnsOf(0, 4000).label);
  });
});
