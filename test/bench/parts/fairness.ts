import { createClient } from '../../../clients/typescript/index.js';
import { COLUMNS, noise, startDaemon, VARIABLES, type Bench } from '../bench.js';
import { addPeakMemory } from '../cost.js';
import type { Measured } from '../figures.js';

const WRITERS = 64;
/** 256 KiB a batch. */
const BATCH_ROWS = 819;
const BATCH_MB = (COLUMNS * BATCH_ROWS * 8) / 1e6;
const LAST_MS = 10_000;

const FIGURES = {
  one: { id: 'one_writer', what: 'one writer for 10 s, with its commit', unit: 'MB/s' },
  together: {
    id: 'writers_together',
    what: '64 writers for 10 s, with their commits, together',
    unit: 'MB/s',
    ceilings: ['one_writer'],
    aim: '≥ 0.8 of one writer',
  },
  mean: { id: 'writers_mean', what: 'their mean', unit: 'MB/s' },
  slowest: {
    id: 'writers_slowest',
    what: 'the slowest of them',
    unit: 'MB/s',
    ceilings: ['writers_mean'],
    aim: '≥ 0.5 of the mean',
  },
} satisfies Record<string, Measured>;

/** Writers that all write as fast as they may for some seconds, and commit; MB/s of each, until its answer. */
async function writeAtOnce(address: string, writers: number): Promise<number[]> {
  const rows = noise(BATCH_ROWS);
  const startedMs = performance.now();
  const write = async (_: unknown, number: number) => {
    await using client = createClient({ address });
    const writer = await client.save(`bench/writers/${number}`, { variables: VARIABLES });
    let batches = 0;
    for (; performance.now() - startedMs < LAST_MS; batches++) await writer.append(rows);
    await writer.commit();
    return (batches * BATCH_MB) / ((performance.now() - startedMs) / 1000);
  };
  return Promise.all(Array.from({ length: writers }, write));
}

/** Whether many writers share what one of them would have for itself. */
export async function fairness(bench: Bench): Promise<void> {
  const { figures, times } = bench;
  await using daemon = await startDaemon(bench, 'writers');
  for (let run = 0; run < times; run++) {
    const [one] = await writeAtOnce(daemon.address, 1);
    figures.add(FIGURES.one, one ?? NaN);
    const shares = await writeAtOnce(daemon.address, WRITERS);
    const sum = shares.reduce((total, share) => total + share, 0);
    figures.add(FIGURES.together, sum);
    figures.add(FIGURES.mean, sum / WRITERS);
    figures.add(FIGURES.slowest, Math.min(...shares));
  }
  addPeakMemory(figures, daemon.pid, 'writers', '64 writers');
}
