import { describe, expect, test } from 'vitest';
import { ValueType, VariableRole } from '../../clients/typescript/index.js';
import { createStorageManager } from '../../server/index.js';
import { TestDaemon } from '../rpc/wire.js';
import { TRANSPORTS } from './transports.js';

const VARIABLES = ['x', 'y'].map((name) => ({
  name,
  role: VariableRole.OBSERVABLE,
  valueType: ValueType.FLOAT64,
}));

/** Fills the arrays with rows that are all different. */
function fill(columns: Record<'x' | 'y', Float64Array>, firstRow: number): void {
  for (let i = 0; i < columns.x.length; i++) {
    columns.x[i] = firstRow + i;
    columns.y[i] = -(firstRow + i) / 3;
  }
}

const whole = (rowCount: number) => {
  const columns = { x: new Float64Array(rowCount), y: new Float64Array(rowCount) };
  fill(columns, 0);
  return columns;
};

/** Bit for bit; by far quicker than going through a million numbers one by one. */
function expectSame(values: unknown, expected: Float64Array): void {
  if (!(values instanceof Float64Array)) throw new Error('these are no float64 values');
  expect(values.length).toBe(expected.length);
  const bytes = ({ buffer, byteOffset, byteLength }: Float64Array) => Buffer.from(buffer, byteOffset, byteLength);
  expect(bytes(values).equals(bytes(expected))).toBe(true);
}

describe.each(TRANSPORTS)('a solver that fills the same arrays again and again, by %s', (_, clientOf) => {
  // One row, gathered with others; a message of its own; cut into several.
  test.each([1, 100, 40_000, 150_000])('gets what each append had, of %i rows each', async (count) => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address });
    const rowCount = Math.max(count * 4, 2000);
    const writer = await client.save('k', { variables: VARIABLES });
    const columns = { x: new Float64Array(count), y: new Float64Array(count) };
    for (let row = 0; row < rowCount; row += count) {
      fill(columns, row);
      await writer.append(columns);
    }
    await writer.commit();
    const loaded = await client.load('k').toColumns();
    expectSame(loaded.columns['x']?.values, whole(rowCount).x);
    expectSame(loaded.columns['y']?.values, whole(rowCount).y);
  });

  test('gets it also where the daemon was killed in between and rows were sent again', async () => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address, retryMs: 30_000 });
    let reconnects = 0;
    const writer = await client.save('k', { variables: VARIABLES }, { onReconnect: () => reconnects++ });
    const columns = { x: new Float64Array(30_000), y: new Float64Array(30_000) };
    for (let row = 0; row < 60 * 30_000; row += 30_000) {
      fill(columns, row);
      await writer.append(columns);
      if (row % (15 * 30_000) !== 7 * 30_000) continue;
      await daemon.process.stop('SIGKILL');
      await daemon.restart();
    }
    await writer.commit();
    expect(reconnects).toBeGreaterThanOrEqual(3);
    const loaded = await client.load('k').toColumns();
    expectSame(loaded.columns['x']?.values, whole(60 * 30_000).x);
    expectSame(loaded.columns['y']?.values, whole(60 * 30_000).y);
  });

  test('in process, changes nothing of what a store in memory has', async () => {
    await using manager = await createStorageManager({ primary: { type: 'memory', max_memory_mb: 16 } });
    const columns = whole(1000);
    await manager.saveResult('k', { problem: { variables: VARIABLES }, columns });
    fill(columns, 5000);
    expect((await manager.loadResult('k')).columns['x']?.values).toEqual(whole(1000).x);
  });
});

describe.each(TRANSPORTS)('many loads at once, by %s', (_, clientOf) => {
  test('that are read slowly each get their own rows', async () => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address });
    for (const factor of [1, 2, 3, 4]) {
      const writer = await client.save(`k${factor}`, { variables: VARIABLES });
      const columns = whole(200_000);
      await writer.append({ x: columns.x.map((value) => value * factor), y: columns.y });
      await writer.commit();
    }
    const load = async (factor: number) => {
      let sum = 0;
      for await (const { firstRow, columns } of client.load(`k${factor}`, { maxBatchBytes: 2 ** 18 })) {
        expect(columns['x']?.values[0]).toBe(firstRow * factor);
        await new Promise((resolve) => setTimeout(resolve, 5));
        for (const value of columns['x']?.values as Float64Array) sum += value;
      }
      return sum / factor;
    };
    const sums = await Promise.all([1, 2, 3, 4].map(load));
    expect(new Set(sums)).toEqual(new Set([(199_999 * 200_000) / 2]));
  });
});
