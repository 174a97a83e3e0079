import { describe, expect, test } from 'vitest';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';
import { TRANSPORTS } from './transports.js';

const columnsOf = (first: number, count: number) => ({
  x: Float64Array.from({ length: count }, (_, i) => first + i),
  label: Array.from({ length: count }, (_, i) => `row ${first + i}`),
});

describe.each(TRANSPORTS)('SIGKILL of the daemon, by %s', (_, clientOf) => {
  test('in mid-stream loses no acknowledged row, and the client goes on by itself', async () => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address, retryMs: 30_000 });
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
    await using client = clientOf({ address: daemon.address, retryMs: 30_000 });
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

describe.each(TRANSPORTS)('a client that follows a save, by %s', (_, clientOf) => {
  test('goes on by itself over SIGKILLs of the daemon, row by row, to the commit', async () => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address, retryMs: 30_000 });
    const writer = await client.save('followed', PROBLEM, { uploadId: 'u' });
    const labels: unknown[] = [];
    let reconnects = 0;
    const load = client.load('followed', { follow: true, onReconnect: () => reconnects++ });
    const following = (async () => {
      for await (const batch of load) {
        expect(batch.firstRow).toBe(labels.length);
        for (let i = 0; i < batch.rowCount; i++) labels.push(batch.columns['label']?.values[i]);
      }
    })();
    await load.header();
    for (let row = 0; row < 3000; row += 100) {
      await writer.append(columnsOf(row, 100));
      if (row % 1000 !== 500) continue;
      // Before a row, and between rows, that anyone has seen.
      await daemon.process.stop('SIGKILL');
      await daemon.restart();
    }
    const result = await writer.commit();
    await following;
    expect(labels).toEqual(columnsOf(0, 3000).label);
    expect(load.committed).toEqual(result);
    expect(reconnects).toBeGreaterThanOrEqual(3);
  });

  test('is told at once when there is nothing to follow, and that a save was given up', async () => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address, retryMs: 30_000 });
    const nothing = client.load('nothing', { follow: true }).toColumns();
    await expect(nothing).rejects.toMatchObject({ reason: 'UPLOAD_NOT_FOUND' });
    const writer = await client.save('k', PROBLEM, { uploadId: 'u' });
    await writer.append(columnsOf(0, 10));
    await writer.flush();
    const load = client.load('k', { follow: true, uploadId: 'u', columns: ['x'], rows: [4] });
    const batches = load[Symbol.asyncIterator]();
    const first = await batches.next();
    expect(first.value).toMatchObject({ firstRow: 4, rowCount: 6, columns: { x: { values: columnsOf(4, 6).x } } });
    const next = batches.next();
    await client.abortUpload('u');
    await expect(next).rejects.toMatchObject({ reason: 'UPLOAD_ABORTED' });
    expect(load.committed).toBeUndefined();
  });
});

describe.each(TRANSPORTS)('SIGTERM of the daemon, by %s', (_, clientOf) => {
  test('and a start anew go unnoticed by a client that saves', async () => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address, retryMs: 30_000 });
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
