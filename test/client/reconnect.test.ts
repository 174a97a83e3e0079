import { describe, expect, test } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';

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
