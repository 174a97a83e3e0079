/** `make bench`: the daemon's figures, each beside the ceiling that was measured in the same run. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createClient } from '../../clients/typescript/index.js';
import { DaemonProcess } from '../../clients/cli/daemon-process.js';
import { ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import { measureDisk, measureWire } from './ceilings.js';
import { rates, report } from './figures.js';
import { oneRowMessages } from './one-row-messages.js';

const BYTES = 1e9;
const COLUMNS = 40;
const BATCH_ROWS = 3276; // just under 1 MiB
const TIMES = Number(process.env['BENCH_TIMES'] ?? 3);
const MAIN = resolve('dist/clients/cli/main.js');

const variables = Array.from({ length: COLUMNS }, (_, i) => ({
  name: `v${i}`,
  role: VariableRole.OBSERVABLE,
  valueType: ValueType.FLOAT64,
}));

/** Some batches of noise, used in turn. */
const batches = Array.from({ length: 8 }, () =>
  Object.fromEntries(variables.map(({ name }) => [name, Float64Array.from({ length: BATCH_ROWS }, Math.random)])),
);

/** The most memory that a process has had, in MiB. */
function peakMemory(pid: number): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1]) / 1024;
}

async function bulk(address: string): Promise<{ save: number; load: number }> {
  await using client = createClient({ address });
  const batchCount = Math.ceil(BYTES / (BATCH_ROWS * COLUMNS * 8));
  const megabytes = (batchCount * BATCH_ROWS * COLUMNS * 8) / 1e6;
  const save = await rates(TIMES, megabytes, async () => {
    const writer = await client.save('bench/bulk', { variables });
    for (let i = 0; i < batchCount; i++) await writer.append(batches[i % batches.length] ?? {});
    await writer.commit();
  });
  const load = await rates(TIMES, megabytes, async () => {
    let rows = 0;
    for await (const batch of client.load('bench/bulk', { maxBatchBytes: 2 ** 20 })) rows += batch.rowCount;
    if (rows !== batchCount * BATCH_ROWS) throw new Error(`${rows} rows came back`);
  });
  const one = await rates(TIMES, megabytes / COLUMNS, async () => {
    for await (const batch of client.load('bench/bulk', { columns: ['v7'] }))
      if (batch.rowCount === 0) throw new Error();
  });
  const medians = {
    save: report('durable save of 1 GB, 40 float64 columns', save, 'MB/s'),
    load: report('load of it', load, 'MB/s'),
  };
  report('load of one column of it', one, 'MB/s');
  return medians;
}

async function rowByRow(address: string): Promise<void> {
  await using client = createClient({ address });
  const rowCount = 200_000;
  const row = Object.fromEntries(variables.map(({ name }, i) => [name, [i + 0.5]]));
  const appends = await rates(TIMES, rowCount, async () => {
    const writer = await client.save('bench/rows', { variables });
    for (let i = 0; i < rowCount; i++) await writer.append(row);
    await writer.commit();
  });
  report('one-row appends of the client, 40 columns', appends, 'rows/s');
  for (const columnCount of [5, COLUMNS]) {
    const messages = await rates(TIMES, 100_000, () =>
      oneRowMessages(address, variables.slice(0, columnCount), 100_000),
    );
    report(`one-row messages on one stream, ${columnCount} columns`, messages, 'rows/s');
  }
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(process.env['BENCH_DIR'] ?? tmpdir(), 'optistore-bench-'));
  try {
    process.stdout.write(
      `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim()}; median of ${TIMES}\n\n`,
    );
    const disk = await measureDisk(folder, BYTES, TIMES);
    const wire = await measureWire(BYTES, TIMES);
    const daemon = await DaemonProcess.start(['--path', join(folder, 'data'), '--listen', '127.0.0.1:0'], MAIN);
    const { save, load } = await bulk(daemon.address);
    report('peak memory of the daemon, bulk', [peakMemory(daemon.pid)], 'MiB');
    await rowByRow(daemon.address);
    report('peak memory of the daemon, at the end', [peakMemory(daemon.pid)], 'MiB');
    await daemon.stop('SIGTERM');
    process.stdout.write('\n');
    report('save / append + fdatasync', [save / disk], '(aim: 0.85 where that is lower)');
    report('save / raw HTTP/2 upload', [save / wire.up], '(aim: 0.5 where that is lower)');
    report('load / raw HTTP/2 download', [load / wire.down], '');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
