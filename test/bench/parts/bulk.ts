import { join } from 'node:path';
import { createClient, type OptistoreClient } from '../../../clients/typescript/index.js';
import { COLUMNS, noise, startDaemon, VARIABLES, type Bench } from '../bench.js';
import { appendToDisk, CEILINGS, Wire } from '../ceilings.js';
import { addPeakMemory, costOf } from '../cost.js';
import type { Measured } from '../figures.js';

/** Just under 1 MiB. */
const BATCH_ROWS = 3276;
const BATCH_BYTES = COLUMNS * BATCH_ROWS * 8;
const GB = 1e9;

const FIGURES = {
  save: {
    id: 'save',
    what: 'durable save of 1 GB, 40 float64 columns',
    unit: 'MB/s',
    ceilings: [CEILINGS.up.id, CEILINGS.disk.id, 'flight_file_save'],
    aim: '≥ 0.5 of raw HTTP/2, ≥ 2 of Arrow Flight',
  },
  load: {
    id: 'load',
    what: 'load of it',
    unit: 'MB/s',
    ceilings: [CEILINGS.down.id, 'flight_file_load'],
    aim: '≥ 0.6 of raw HTTP/2, ≥ 1 of Arrow Flight',
  },
  column: { id: 'load_column', what: 'load of one column of it, its own bytes', unit: 'MB/s' },
  saveCpu: { id: 'save_cpu', what: 'processor time of the daemon, save', unit: 's/GB' },
  loadCpu: { id: 'load_cpu', what: 'processor time of the daemon, load', unit: 's/GB' },
  written: { id: 'save_written', what: 'bytes written per byte saved', unit: '', aim: '≤ 1.1' },
  flushes: { id: 'save_flushes', what: 'flushes of the disk, save', unit: '/s' },
} satisfies Record<string, Measured>;

/** Saves some gigabytes, batch by batch. */
export async function saveBulk(client: OptistoreClient, key: string, bytes: number): Promise<number> {
  const batches = Array.from({ length: 8 }, () => noise(BATCH_ROWS));
  const writer = await client.save(key, { variables: VARIABLES });
  let saved = 0;
  for (let i = 0; saved < bytes; i++, saved += BATCH_BYTES) await writer.append(batches[i % batches.length] ?? {});
  await writer.commit();
  return saved;
}

/** Loads all of it, or some columns; the count of rows. */
export async function loadBulk(client: OptistoreClient, key: string, columns?: readonly string[]): Promise<number> {
  let rows = 0;
  const what = columns === undefined ? {} : { columns };
  for await (const batch of client.load(key, { maxBatchBytes: 2 ** 20, ...what })) rows += batch.rowCount;
  return rows;
}

/** One result of 1 GB, saved and loaded, in turn with what the wire and the disk give. */
export async function bulk(bench: Bench): Promise<void> {
  const { figures, folder, times } = bench;
  await using daemon = await startDaemon(bench, 'bulk');
  await using wire = await Wire.open();
  await using client = createClient({ address: daemon.address });
  for (let run = 0; run < times; run++) {
    await figures.rate(CEILINGS.disk, GB / 1e6, () => appendToDisk(join(folder, `ceiling-${run}`), GB));
    await figures.rate(CEILINGS.up, GB / 1e6, () => wire.upload(GB));
    const saved = await costOf(daemon.pid, () => saveBulk(client, 'bench/bulk', GB));
    figures.add(FIGURES.save, GB / 1e6 / saved.seconds);
    figures.add(FIGURES.saveCpu, saved.cpuSeconds);
    figures.add(FIGURES.written, saved.writtenBytes / GB);
    figures.add(FIGURES.flushes, saved.flushes / saved.seconds);
    await figures.rate(CEILINGS.down, GB / 1e6, () => wire.download(GB));
    const loaded = await costOf(daemon.pid, () => loadBulk(client, 'bench/bulk'));
    figures.add(FIGURES.load, GB / 1e6 / loaded.seconds);
    figures.add(FIGURES.loadCpu, loaded.cpuSeconds);
    await figures.rate(FIGURES.column, GB / 1e6 / COLUMNS, () => loadBulk(client, 'bench/bulk', ['v7']));
  }
  addPeakMemory(figures, daemon.pid, 'bulk', 'bulk');
}
