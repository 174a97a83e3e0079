import { join } from 'node:path';
import { createClient, type OptistoreClient } from '../../../clients/typescript/index.js';
import { residentBytes, untilStill } from '../../rpc/processes.js';
import { VARIABLES, type Bench } from '../bench.js';
import { peakMemory } from '../cost.js';
import { median, seconds } from '../figures.js';
import { fillLeveldb, keyOf } from '../many-results.js';
import { startOn, startsAfter, times } from '../starts.js';
import { growthOfOne } from './growth-of-one.js';

/** How many results; 10⁶ of them take four minutes. */
const COUNTS = (process.env['BENCH_GROWTH'] ?? '0,10000,100000,1000000').split(',').map(Number);
const LOOKUPS = 200;
const PAGES = 20;
const UPLOADS = 1000;
/** A connection has 256 streams at most. */
const UPLOAD_CLIENTS = 8;
const MIB = 2 ** 20;

async function page(client: OptistoreClient, orderBy: string): Promise<void> {
  let rows = 0;
  for await (const { key } of client.listResults({ prefix: 'runs/', orderBy, pageSize: 100 }))
    if (key !== '' && ++rows === 100) return;
}

/** Starts, lookups, pages and memory with so many results. */
async function withResults(bench: Bench, store: string, count: number): Promise<void> {
  const { figures } = bench;
  const name = `${count.toLocaleString('en')} results`;
  const aim = count === 100_000 ? { aim: '≤ 500' } : {};
  const add = (id: string, what: string, unit: string, value: number, more = {}) =>
    figures.add({ id: `growth_${count}_${id}`, what: `${name}: ${what}`, unit, ...more }, value);
  add('start', 'start after a clean stop', 'ms', await startsAfter(bench, store, 'SIGTERM'), aim);
  add('start_killed', 'start after SIGKILL', 'ms', await startsAfter(bench, store, 'SIGKILL'), aim);
  await using started = await startOn(bench, store);
  const { client, daemon } = started;
  add('memory', 'memory at the first answer', 'MiB', residentBytes(daemon.pid) / MIB);
  // It looks through its entries a second after it is open.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await untilStill(daemon.pid);
  if (count > 0) {
    const random = () => Math.floor(Math.random() * count);
    add('get', 'GetResult', 'ms', median(await times(LOOKUPS, () => client.getResult(keyOf(random())))));
    add('page', '100 by key', 'ms', median(await times(PAGES, () => page(client, 'key'))));
    add('newest', 'newest 100', 'ms', median(await times(PAGES, () => page(client, 'commit_time desc'))));
  }
  add('memory_then', 'memory then', 'MiB', residentBytes(daemon.pid) / MIB);
  add('memory_most', 'most memory', 'MiB', peakMemory(daemon.pid));
}

/** Many uploads that are open at once, and a start after a kill among them. */
async function openUploads(bench: Bench): Promise<void> {
  const { figures } = bench;
  const { daemon, client } = await startOn(bench, 'uploads');
  const before = residentBytes(daemon.pid);
  const clients = Array.from({ length: UPLOAD_CLIENTS }, () => createClient({ address: daemon.address }));
  const row = Object.fromEntries(VARIABLES.map(({ name }) => [name, [0.5]]));
  const open = async (number: number) => {
    const saver = clients[number % UPLOAD_CLIENTS] as OptistoreClient;
    const writer = await saver.save(`open/${number}`, { variables: VARIABLES }, { uploadId: `open-${number}` });
    await writer.append(row);
    await writer.flush();
  };
  const taken = await seconds(() => Promise.all(Array.from({ length: UPLOADS }, (_, number) => open(number))));
  figures.add({ id: 'growth_uploads_open', what: '1,000 uploads opened, each with an acked row', unit: 's' }, taken);
  const memory = (residentBytes(daemon.pid) - before) / MIB;
  figures.add({ id: 'growth_uploads_memory', what: 'memory that they take', unit: 'MiB' }, memory);
  await daemon.stop('SIGKILL');
  for (const each of [...clients, client]) each.close();
  await using again = await startOn(bench, 'uploads');
  const { uploadCount } = await again.client.getStatus();
  if (uploadCount !== BigInt(UPLOADS)) throw new Error(`${uploadCount} of ${UPLOADS} uploads came back`);
  figures.add({ id: 'growth_uploads_start', what: 'start after SIGKILL, they come back', unit: 'ms' }, again.startMs);
}

/** What happens where much is stored: many results, many open uploads, results that are large in each way. */
export async function growth(bench: Bench): Promise<void> {
  let filled = 0;
  for (const count of COUNTS) {
    if (count > filled) {
      const taken = await seconds(() => fillLeveldb(join(bench.folder, 'growth'), filled, count));
      process.stderr.write(`${count - filled} results were made in ${taken.toFixed(0)} s\n`);
    }
    filled = count;
    await withResults(bench, 'growth', count);
  }
  await openUploads(bench);
  await growthOfOne(bench);
}
