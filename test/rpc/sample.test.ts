import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Direction, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import { createClient } from '../../clients/typescript/index.js';
import { dice, TestDaemon } from './wire.js';

const daemon = await TestDaemon.startIn((folder) => ({ socket: join(folder, 'socket') }));
const client = createClient({ address: daemon.address });
afterAll(async () => {
  client.close();
  await daemon[Symbol.asyncDispose]();
});

const FLOAT64 = ValueType.FLOAT64;
const PROBLEM = {
  name: 'two of three',
  variables: [
    { name: 'x', role: VariableRole.DESIGN_VARIABLE, valueType: FLOAT64 },
    { name: 'step', role: VariableRole.OBSERVABLE, valueType: ValueType.INT64 },
    { name: 'f1', role: VariableRole.OBJECTIVE, valueType: FLOAT64, direction: Direction.MINIMIZE },
    { name: 'f2', role: VariableRole.OBJECTIVE, valueType: FLOAT64, direction: Direction.MAXIMIZE },
    { name: 'g', role: VariableRole.INEQUALITY_CONSTRAINT, valueType: FLOAT64, upperBound: 0.9 },
    { name: 'note', role: VariableRole.OBSERVABLE, valueType: ValueType.STRING },
  ],
};

interface Run {
  readonly x: number[];
  readonly step: bigint[];
  readonly f1: (number | null)[];
  readonly f2: number[];
  readonly g: number[];
  readonly note: string[];
}

/** A run with infeasible rows, missing values and NaN, and its ends at places of their own. */
function runOf(rowCount: number, seed: number): Run {
  const random = dice(seed);
  const column = <T>(value: (row: number) => T) => Array.from({ length: rowCount }, (_, row) => value(row));
  const run: Run = {
    x: column(() => random()),
    step: column((row) => BigInt(row % 7)),
    f1: column((row) => (row % 50 === 49 ? null : random() + 1 / (1 + row / 1000))),
    f2: column((row) => (row % 60 === 59 ? NaN : random() - 1 / (1 + row / 1000))),
    g: column(() => random()),
    note: column((row) => `row ${row}`),
  };
  run.x[Math.floor(rowCount / 3)] = -5;
  run.x[Math.floor(rowCount / 3) + 1] = 5;
  return run;
}

async function save(key: string, run: Run): Promise<void> {
  await using writer = await client.save(key, PROBLEM);
  const [rowCount, part] = [run.x.length, 9973];
  for (let from = 0; from < rowCount; from += part)
    await writer.append(
      Object.fromEntries(
        Object.entries(run).map(([name, values]) => [name, (values as number[]).slice(from, from + part)]),
      ),
    );
  await writer.commit();
}

const isFeasible = ({ g }: Run, row: number) => (g[row] as number) <= 0.9;
const pointOf = ({ f1, f2 }: Run, row: number): [number, number] => [f1[row] ?? NaN, -(f2[row] as number)];

/** Rows on the front by its definition, for two objectives: none before it in order of the first is as good in the second. */
function frontOf(run: Run): number[] {
  const rows = run.x.flatMap((_, row) => (isFeasible(run, row) && !pointOf(run, row).some(Number.isNaN) ? [row] : []));
  rows.sort((a, b) => {
    const [[a1, a2], [b1, b2]] = [pointOf(run, a), pointOf(run, b)];
    return a1 - b1 || a2 - b2 || a - b;
  });
  let best = Infinity;
  return rows.filter((row) => {
    const isOn = pointOf(run, row)[1] < best;
    best = Math.min(best, pointOf(run, row)[1]);
    return isOn;
  });
}

/** Rows that were the best so far in some objective. */
function improvementsOf(run: Run): number[] {
  const best = [Infinity, Infinity];
  return run.x.flatMap((_, row) => {
    if (!isFeasible(run, row)) return [];
    const isBetter = pointOf(run, row).map((value, c) => value < (best[c] as number));
    pointOf(run, row).forEach((value, c) => isBetter[c] && (best[c] = value));
    return isBetter.includes(true) ? [row] : [];
  });
}

describe('a sample of a large result', async () => {
  const run = runOf(60_000, 3);
  await save('sample/large', run);
  const load = (options = {}) => client.load('sample/large', { sampleRows: 5000, ...options }).toColumns();
  const { header, columns, rowNumbers = new Float64Array() } = await load();
  const rows = new Set(rowNumbers);

  test('has at most as many rows as asked for, by their numbers, in order', () => {
    expect(header.sample?.rowCount).toBe(BigInt(rowNumbers.length));
    expect(header.rowCount).toBe(BigInt(rowNumbers.length));
    expect(header.result?.rowCount).toBe(60_000n);
    expect(rowNumbers.length).toBeLessThanOrEqual(5000);
    expect(rowNumbers.length).toBeGreaterThan(4500);
    expect([...rowNumbers]).toEqual([...rows].sort((a, b) => a - b));
  });

  test('has the rows as they are stored, of all types', () => {
    expect([...(columns['note']?.values as string[])]).toEqual([...rowNumbers].map((row) => `row ${row}`));
    expect([...(columns['x']?.values as Float64Array)]).toEqual([...rowNumbers].map((row) => run.x[row]));
    expect([...(columns['step']?.values as BigInt64Array)]).toEqual([...rowNumbers].map((row) => run.step[row]));
  });

  test('has the whole front, and tells how many rows are on it', () => {
    const front = frontOf(run);
    expect(front.length).toBeGreaterThan(5);
    expect(front.filter((row) => !rows.has(row))).toEqual([]);
    expect(header.sample).toMatchObject({
      frontRowCount: BigInt(front.length),
      sentFrontRowCount: BigInt(front.length),
      frontIsExact: true,
    });
  });

  test('has every row that improved an objective, so that convergence is drawn as it was', () => {
    const improvements = improvementsOf(run);
    expect(improvements.length).toBeGreaterThan(10);
    expect(improvements.filter((row) => !rows.has(row))).toEqual([]);
  });

  test('has the ends of each column', () => {
    expect(rows.has(20_000)).toBe(true);
    expect(rows.has(20_001)).toBe(true);
    for (const name of ['f1', 'f2', 'g'] as const) {
      const values = run[name].map((value) => value ?? NaN).filter((value) => !Number.isNaN(value));
      const told = [...(columns[name]?.values as Float64Array)];
      expect(told).toContain(values.reduce((a, b) => Math.min(a, b)));
      expect(told).toContain(values.reduce((a, b) => Math.max(a, b)));
    }
  });

  test('has rows of every part of the run, the first and the last', () => {
    expect(rows.has(0) && rows.has(59_999)).toBe(true);
    const gaps = rowNumbers.slice(1).map((row, i) => row - (rowNumbers[i] as number));
    expect(gaps.reduce((a, b) => Math.max(a, b))).toBeLessThan(30);
  });

  test('is the same each time, in part as in whole, and of some columns', async () => {
    const part = await load({ rows: [100, 200], columns: ['x'] });
    expect(part.header.firstRow).toBe(100n);
    expect(part.rowNumbers).toEqual(rowNumbers.slice(100, 200));
    expect(Object.keys(part.columns)).toEqual(['x']);
    const end = await load({ rows: [rowNumbers.length], columns: ['x'] });
    expect(end.columns['x']?.values).toHaveLength(0);
    await expect(load({ rows: [5001] })).rejects.toMatchObject({ reason: 'ROW_RANGE_INVALID' });
  });

  test('is all of a result that has no more rows, as without it', async () => {
    const whole = await client.load('sample/large', { sampleRows: 60_000, columns: ['x'] }).toColumns();
    expect(whole.header.sample).toBeUndefined();
    expect(whole.rowNumbers).toBeUndefined();
    expect(whole.columns['x']?.values).toHaveLength(60_000);
  });

  test('of fewer than 1,000 rows, or more than a million, is refused', async () => {
    for (const sampleRows of [1, 999, 1_000_001])
      await expect(load({ sampleRows })).rejects.toMatchObject({ reason: 'REQUEST_INVALID' });
  });

  test('goes neither with a result set nor with follow', async () => {
    await client.putResultSet('sample/large', 'few', { rows: [1, 2] });
    await expect(load({ resultSet: 'few' })).rejects.toMatchObject({ reason: 'REQUEST_INVALID' });
    await expect(load({ follow: true })).rejects.toMatchObject({ reason: 'REQUEST_INVALID' });
  });

  test('is streamed at a Unix socket too, where rows are read from files else', async () => {
    await using local = createClient({ address: `unix:${join(daemon.folder, 'socket')}` });
    const sampled = await local.load('sample/large', { sampleRows: 5000 }).toColumns();
    expect(sampled.rowNumbers?.length).toBeLessThanOrEqual(5000);
  });
});

test('a front of more than half of the sample is thinned, and the sample says so', async () => {
  const rowCount = 4000;
  const column = <T>(value: (row: number) => T) => Array.from({ length: rowCount }, (_, row) => value(row));
  const [f1, f2] = [column((row) => row), column((row) => row)];
  await save('sample/all', { x: f1, step: column(BigInt), f1, f2, g: column(() => 0), note: column(String) });
  const { header, rowNumbers } = await client.load('sample/all', { sampleRows: 1000 }).toColumns();
  expect(header.sample?.frontRowCount).toBeGreaterThan(500n);
  expect(header.sample?.sentFrontRowCount).toBe(500n);
  expect(header.sample?.frontIsExact).toBe(false);
  expect(rowNumbers?.length).toBeLessThanOrEqual(1000);
});

test('a result without numbers, or without objectives, has a sample as well', async () => {
  const text = { name: 'note', role: VariableRole.OBSERVABLE, valueType: ValueType.STRING };
  await using writer = await client.save('sample/text', { variables: [text] });
  await writer.append({ note: Array.from({ length: 3000 }, (_, row) => `row ${row}`) });
  await writer.commit();
  const { header, columns, rowNumbers } = await client.load('sample/text', { sampleRows: 1000 }).toColumns();
  expect(header.sample).toMatchObject({ rowCount: 1000n, frontRowCount: 0n, frontIsExact: true });
  expect([...(columns['note']?.values as string[])]).toEqual([...(rowNumbers ?? [])].map((row) => `row ${row}`));
});

test('samples wait for a place to be chosen, and who goes meanwhile takes none', async () => {
  await save('crowd', runOf(20_000, 5));
  const ask = (signal?: AbortSignal) =>
    client.load('crowd', { sampleRows: 1000, ...(signal && { signal }) }).toColumns();
  const leaving = new AbortController();
  const left = Array.from({ length: 30 }, () => ask(leaving.signal).catch(() => 'left'));
  const stayed = Array.from({ length: 30 }, () => ask());
  leaving.abort();
  await Promise.all(left);
  const samples = (await Promise.all(stayed)).map(({ header }) => header.sample?.rowCount);
  expect(new Set(samples).size).toBe(1);
  expect(samples[0]).toBeGreaterThan(900n);
}, 30_000);

test('a sample of a run whose rows are all on its front keeps no other call waiting', async () => {
  const objective = (name: string) => ({
    ...{ name, role: VariableRole.OBJECTIVE, valueType: FLOAT64, direction: Direction.MINIMIZE },
  });
  await using writer = await client.save('opposed', { variables: ['f1', 'f2', 'f3'].map(objective) });
  const random = dice(3);
  for (let part = 0; part < 30; part++) {
    const f2 = Float64Array.from({ length: 10_000 }, random);
    await writer.append({ f1: f2.map(random), f2, f3: f2.map((value) => 1 - value) });
  }
  await writer.commit();
  let isLoaded = false;
  const loaded = Promise.all(
    [1, 2].map(async () => (await client.load('opposed', { sampleRows: 200_000 }).toColumns()).header.sample),
  ).finally(() => (isLoaded = true));
  const waitsMs: number[] = [];
  while (!isLoaded) {
    const startMs = performance.now();
    await client.getStatus();
    waitsMs.push(performance.now() - startMs);
  }
  expect((await loaded)[0]).toMatchObject({ frontIsExact: false, sentFrontRowCount: 100_000n });
  // It was four seconds and more.
  expect(Math.max(...waitsMs)).toBeLessThan(1500);
}, 60_000);
