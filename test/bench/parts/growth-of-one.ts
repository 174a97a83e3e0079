import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../../clients/cli/daemon-process.js';
import {
  ValueType,
  VariableRole,
  type LoadOptions,
  type OptistoreClient,
  type ResultWriter,
} from '../../../clients/typescript/index.js';
import { COLUMNS, noise, VARIABLES, type Bench } from '../bench.js';
import { peakMemory } from '../cost.js';
import { median, seconds } from '../figures.js';
import { startOn, times } from '../starts.js';

const GB = 1e9;
const LOADS = 10;
const WIDE_COLUMNS = 5000;
const WIDE_ROWS = 2500;
const WIDE_BATCH_ROWS = 25;
const LONG_ROWS = 100_000_000;
const LONG_BATCH_ROWS = 65_536;
const SPREAD_ROWS = [100, 1000, 100_000];
const SET_LOADS = 3;
/** Just under 1 MiB. */
const LARGE_BATCH_ROWS = 3276;
const LARGE_BATCH_BYTES = COLUMNS * LARGE_BATCH_ROWS * 8;
const LARGE_GB = 20;

const variablesOf = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    name: `v${i}`,
    role: VariableRole.OBSERVABLE,
    valueType: ValueType.FLOAT64,
  }));
const noiseOf = (columns: number, rows: number) =>
  Object.fromEntries(variablesOf(columns).map(({ name }) => [name, Float64Array.from({ length: rows }, Math.random)]));

/** Counts the rows that a load gives. */
async function load(client: OptistoreClient, key: string, what: LoadOptions = {}): Promise<number> {
  let count = 0;
  for await (const batch of client.load(key, what)) count += batch.rowCount;
  return count;
}

/** A result of 5,000 columns. */
async function wide(bench: Bench): Promise<void> {
  const { figures } = bench;
  await using started = await startOn(bench, 'wide');
  const { client, daemon } = started;
  const megabytes = (WIDE_COLUMNS * WIDE_ROWS * 8) / 1e6;
  const batch = noiseOf(WIDE_COLUMNS, WIDE_BATCH_ROWS);
  await figures.rate(
    { id: 'growth_wide_save', what: '5,000 columns: save of 100 MB', unit: 'MB/s' },
    megabytes,
    async () => {
      const writer = await client.save('wide', { variables: variablesOf(WIDE_COLUMNS) });
      for (let row = 0; row < WIDE_ROWS; row += WIDE_BATCH_ROWS) await writer.append(batch);
      await writer.commit();
    },
  );
  await figures.rate({ id: 'growth_wide_load', what: '5,000 columns: load of it', unit: 'MB/s' }, megabytes, () =>
    load(client, 'wide'),
  );
  const lookups = await times(LOADS, () => client.getResult('wide'));
  figures.add({ id: 'growth_wide_get', what: '5,000 columns: GetResult', unit: 'ms' }, median(lookups));
  figures.add({ id: 'growth_wide_memory', what: '5,000 columns: most memory', unit: 'MiB' }, peakMemory(daemon.pid));
}

/** A result of 100 million rows. */
async function long(bench: Bench): Promise<void> {
  const { figures } = bench;
  await using started = await startOn(bench, 'long');
  const { client, daemon } = started;
  const batch = noiseOf(2, LONG_BATCH_ROWS);
  const saved = { id: 'growth_long_save', what: '100 million rows of 2 columns: save', unit: 'million rows/s' };
  await figures.rate(saved, LONG_ROWS / 1e6, async () => {
    const writer = await client.save('long', { variables: variablesOf(2) });
    for (let row = 0; row < LONG_ROWS; row += LONG_BATCH_ROWS) await writer.append(batch);
    await writer.commit();
  });
  const add = (id: string, what: string, taken: number[]) =>
    figures.add({ id: `growth_long_${id}`, what: `100 million rows: ${what}`, unit: 'ms' }, median(taken));
  const from = (i: number, count: number) => [LONG_ROWS / 2 + i * count, LONG_ROWS / 2 + (i + 1) * count] as const;
  add('rows', '100 rows in the middle', await times(LOADS, (i) => load(client, 'long', { rows: from(i, 100) })));
  const million = (i: number) => load(client, 'long', { rows: from(i, 1_000_000) });
  add('million', 'a million rows in the middle', await times(LOADS, million));
  for (const count of SPREAD_ROWS) {
    const resultSet = `spread-${count}`;
    await client.putResultSet('long', resultSet, {
      rows: Array.from({ length: count }, (_, i) => i * (LONG_ROWS / count)),
    });
    const taken = await times(SET_LOADS, () => load(client, 'long', { resultSet }));
    add(`set_${count}`, `a set of ${count.toLocaleString('en')} rows spread over it`, taken);
  }
  add('get', 'GetResult', await times(LOADS, () => client.getResult('long')));
  figures.add({ id: 'growth_long_memory', what: '100 million rows: most memory', unit: 'MiB' }, peakMemory(daemon.pid));
}

/** Appends a gigabyte; its MB/s, until it is durable. */
async function appendGigabyte(writer: ResultWriter, batches: readonly Record<string, Float64Array>[]): Promise<number> {
  const taken = await seconds(async () => {
    for (let i = 0; i * LARGE_BATCH_BYTES < GB; i++) await writer.append(batches[i % batches.length] ?? {});
    await writer.flush();
  });
  return GB / 1e6 / taken;
}

/** A result of 20 GB, whose daemon is killed half-way. */
async function large(bench: Bench): Promise<void> {
  const { figures, folder } = bench;
  const listen = `127.0.0.1:${await freePort()}`;
  const add = (id: string, what: string, unit: string, value: number) =>
    figures.add({ id: `growth_large_${id}`, what: `20 GB: ${what}`, unit }, value);
  const first = await startOn(bench, 'large', listen);
  const batches = Array.from({ length: 8 }, () => noise(LARGE_BATCH_ROWS));
  const writer = await first.client.save('large', { variables: VARIABLES });
  add('save_first', 'save, the first GB', 'MB/s', await appendGigabyte(writer, batches));
  for (let i = 1; i < LARGE_GB / 2 - 1; i++) await appendGigabyte(writer, batches);
  add('save_middle', 'save, the 10th GB', 'MB/s', await appendGigabyte(writer, batches));
  // Not all of what is sent now is durable when it is killed.
  for (const batch of batches) await writer.append(batch);
  await first.daemon.stop('SIGKILL');
  await using second = await startOn(bench, 'large', listen);
  add('start', 'start after SIGKILL half-way', 'ms', second.startMs);
  for (let i = LARGE_GB / 2; i < LARGE_GB - 1; i++) await appendGigabyte(writer, batches);
  add('save_last', 'save, the last GB', 'MB/s', await appendGigabyte(writer, batches));
  const committed = await seconds(() => writer.commit());
  add('commit', 'commit', 'ms', committed * 1000);
  const { rowCount } = await second.client.getResult('large');
  const end = Number(rowCount);
  const last = await times(LOADS, () => load(second.client, 'large', { rows: [end - LARGE_BATCH_ROWS, end] }));
  add('load_last', 'load of the last MB', 'ms', median(last));
  add('memory', 'most memory', 'MiB', peakMemory(second.daemon.pid));
  first.client.close();
  await rm(join(folder, 'large', 'segments'), { recursive: true });
}

/** One result that is large: of many columns, of many rows, and, with BENCH_LARGE=1, of 20 GB. */
export async function growthOfOne(bench: Bench): Promise<void> {
  await wide(bench);
  await long(bench);
  if (process.env['BENCH_LARGE'] === '1') await large(bench);
}
