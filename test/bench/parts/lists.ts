import { join } from 'node:path';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ListQuery, StorageBackend } from '../../../server/backends/backend.js';
import { parseConnectionString } from '../../../server/backends/database/connection-string.js';
import { Database } from '../../../server/backends/database/database.js';
import { rowsOfResult } from '../../../server/backends/database/result-rows.js';
import { openBackend, type BackendConfig } from '../../../server/backends/open-backend.js';
import { parseFilter } from '../../../server/filter/parse.js';
import { PostgresServer } from '../../backends/postgres.js';
import type { Bench } from '../bench.js';
import { seconds, type Measured } from '../figures.js';
import { alike, fill, keyOf } from '../many-results.js';

const COUNTS = (process.env['BENCH_LISTS'] ?? '10000,100000').split(',').map(Number);
/** What is beyond comes into a database in large transactions: saves one by one would take an hour. */
const SAVED_COUNT_MAX = { leveldb: 100_000, database: 1000 };
const PAGES = 40;
const NEVER = new AbortController().signal;

/** Results that are like saved ones to who asks for pages, a thousand a transaction. */
async function fillDatabase(connection_string: string, like: Manifest, from: number, to: number): Promise<void> {
  await using database = new Database(parseConnectionString(connection_string));
  const startMs = Date.now();
  for (let first = from; first < to; first += 1000) {
    const last = Math.min(first + 1000, to);
    await database.transact(async (connection) => {
      const rows: ReturnType<typeof rowsOfResult>[] = [];
      for (let number = first; number < last; number++) {
        rows.push(rowsOfResult(database, alike(like, number, startMs + number - from)));
      }
      // So many that no database finds a statement too long.
      await connection.batchInsert(
        'results',
        rows.map(({ row }) => row),
        40,
      );
      await connection.batchInsert(
        'tags',
        rows.flatMap(({ tags }) => tags),
        100,
      );
      await connection.batchInsert(
        'best',
        rows.flatMap(({ best }) => best),
        200,
      );
      await connection('store').where({ id: 1 }).update({ change_number: last, result_count: last });
    });
  }
}

const QUERIES: readonly [
  name: string,
  query: (count: number) => Pick<ListQuery, 'orderBy' | 'descending'> & { filter: string },
][] = [
  ['newest 100', () => ({ filter: '', orderBy: 'commit_time', descending: true })],
  ['newest 100 of one in 100', () => ({ filter: 'tags.team = t7', orderBy: 'commit_time', descending: true })],
  ['100 by key of one in 1,000', () => ({ filter: 'tags.batch = b7', orderBy: 'key', descending: false })],
  [
    'newest 100 of the 1,000 best',
    (count) => ({ filter: `best.f < ${1_000_000_000 / count}`, orderBy: 'commit_time', descending: true }),
  ],
];

/** Milliseconds that pages took, in order. */
async function pages(backend: StorageBackend, query: ListQuery): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < PAGES; i++) {
    const taken = await seconds(async () => {
      let rows = 0;
      for await (const manifest of backend.list(query, NEVER)) if (manifest.key !== '' && ++rows === 100) break;
    });
    times.push(taken * 1000);
  }
  return times.sort((a, b) => a - b);
}

const nameOf = (store: string, count: number, what: string) => `${store}, ${count.toLocaleString('en')}: ${what}`;

/** The aim for the 95th percentile, and of how many results it is said. */
const AIMS: Readonly<Partial<Record<BackendConfig['type'], readonly [ms: number, count: number]>>> = {
  leveldb: [100, 100_000],
  database: [10, 1_000_000],
};

/** The aim in words: a smaller store is told what is aimed at in a large one. */
function aimOf(type: BackendConfig['type'], count: number): Partial<Measured> {
  const aim = AIMS[type];
  if (aim === undefined) return {};
  const [ms, of] = aim;
  return { aim: count < of ? `≤ ${ms} of ${of.toLocaleString('en')}` : `≤ ${ms}` };
}

async function measure({ figures }: Bench, store: string, config: BackendConfig): Promise<void> {
  await using backend = await openBackend(config, {});
  let filled = 0;
  for (const count of COUNTS) {
    // More than a store of this kind is meant for.
    if (config.type !== 'database' && count > SAVED_COUNT_MAX.leveldb) break;
    if (config.type === 'database') {
      if (filled === 0) await fill(backend, 0, SAVED_COUNT_MAX.database);
      const like = await backend.stat(keyOf(0), undefined, NEVER);
      await fillDatabase(config.connection_string, like, Math.max(filled, SAVED_COUNT_MAX.database), count);
    } else {
      const saved = { id: `lists_${store}_${count}_saved`, what: nameOf(store, count, 'results saved'), unit: '/s' };
      await figures.rate(saved, count - filled, () => fill(backend, filled, count));
    }
    filled = count;
    for (const [what, make] of QUERIES) {
      const { filter, ...order } = make(count);
      const times = await pages(backend, { prefix: 'runs/', filter: parseFilter(filter), ...order });
      const id = `lists_${store}_${count}_${what.replace(/\W+/g, '_')}`;
      const p95 = { id: `${id}_p95`, what: nameOf(store, count, `${what}, p95`), unit: 'ms' };
      figures.add({ id, what: nameOf(store, count, what), unit: 'ms' }, times[PAGES >> 1] ?? NaN);
      figures.add({ ...p95, ...aimOf(config.type, count) }, times[Math.floor(PAGES * 0.95)] ?? NaN);
    }
  }
}

/** Filtered, ordered pages of 100 in stores of many results (BENCH_LISTS=10000,100000,1000000), 40 pages each. */
export async function lists(bench: Bench): Promise<void> {
  await using postgres = await PostgresServer.start();
  const path = (name: string) => join(bench.folder, name);
  await measure(bench, 'leveldb', { type: 'leveldb', path: path('lists') });
  await measure(bench, 'sqlite', { type: 'database', connection_string: `sqlite:///${path('lists.db')}` });
  await measure(bench, 'postgresql', { type: 'database', connection_string: await postgres.createDatabase() });
}
