import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createClient, type OptistoreClient } from '../../../clients/typescript/index.js';
import { COLUMNS, noise, startDaemon, VARIABLES, type Bench } from '../bench.js';
import { CEILINGS, writeSmallFiles } from '../ceilings.js';
import { addPeakMemory } from '../cost.js';
import type { Measured } from '../figures.js';

const RESULTS = 1000;
const CLIENTS = 8;
const ROWS = 1024;
const BYTES = COLUMNS * ROWS * 8;
const MEGABYTES = (RESULTS * BYTES) / 1e6;

const FIGURES = {
  save: {
    id: 'small_save',
    what: '1,000 results of 320 KB, 8 clients save',
    unit: 'MB/s',
    ceilings: [CEILINGS.smallFiles.id, 'flight_file_small_save'],
    aim: '≥ 2 of Arrow Flight',
  },
  load: { id: 'small_load', what: 'they load them', unit: 'MB/s', ceilings: ['flight_file_small_load'] },
  saveAlone: {
    id: 'small_save_alone',
    what: 'one client saves them, one after the other',
    unit: 'MB/s',
    ceilings: [CEILINGS.smallFiles.id],
  },
} satisfies Record<string, Measured>;

/** Many small results, saved and loaded by several clients at once, each with a connection of its own. */
export async function smallResults(bench: Bench): Promise<void> {
  const { figures, folder, times } = bench;
  await using daemon = await startDaemon(bench, 'small');
  const clients = Array.from({ length: CLIENTS }, () => createClient({ address: daemon.address }));
  const rows = noise(ROWS);

  const forEachResult = async (
    used: readonly OptistoreClient[],
    act: (client: OptistoreClient, key: string) => Promise<void>,
  ) => {
    let next = 0;
    const work = async (client: OptistoreClient) => {
      while (next < RESULTS) await act(client, `bench/small/${next++}`);
    };
    await Promise.all(used.map(work));
  };
  const save = async (client: OptistoreClient, key: string) => {
    const writer = await client.save(key, { variables: VARIABLES });
    await writer.append(rows);
    await writer.commit();
  };
  const load = async (client: OptistoreClient, key: string) => {
    const { columns } = await client.load(key).toColumns();
    if (columns['v0']?.values.length !== ROWS) throw new Error(`not all rows of ${key} came back`);
  };
  for (let run = 0; run < times; run++) {
    const files = await mkdtemp(join(folder, 'small-files-'));
    await figures.rate(CEILINGS.smallFiles, MEGABYTES, () => writeSmallFiles(files, RESULTS, BYTES));
    await rm(files, { recursive: true });
    await figures.rate(FIGURES.save, MEGABYTES, () => forEachResult(clients, save));
    await figures.rate(FIGURES.load, MEGABYTES, () => forEachResult(clients, load));
    await figures.rate(FIGURES.saveAlone, MEGABYTES, () => forEachResult(clients.slice(0, 1), save));
  }
  addPeakMemory(figures, daemon.pid, 'small', 'small results');
  for (const client of clients) client.close();
}
