import { open, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createClient } from '../../../clients/typescript/index.js';
import { generateStubs } from '../../python/stubs.js';
import { run, virtualenv } from '../../python/virtualenv.js';
import { COLUMNS, startDaemon, type Bench } from '../bench.js';
import { costOf } from '../cost.js';
import type { Measured } from '../figures.js';
import { addTold } from '../told.js';
import { saveBulk } from './bulk.js';

const KEY = 'bench/local';
const GB = 1e9;
const PIECE_BYTES = 2 ** 20;
const PYTHON = resolve('test/python');
const NUMPY_MS_MAX = 120_000;

const CACHED: Measured = { id: 'page_cache', what: "1 GB read from the system's cache, MiB by MiB", unit: 'MB/s' };
const FIGURES = {
  load: { id: 'local_load', what: 'load of it over the Unix socket, from files', unit: 'MB/s', ceilings: [CACHED.id] },
  streamed: { id: 'socket_load', what: 'the same, streamed', unit: 'MB/s', ceilings: [CACHED.id] },
  column: { id: 'local_column', what: 'load of one column of it, its own bytes', unit: 'MB/s' },
  cpu: { id: 'local_cpu', what: 'processor time of the daemon, load from files', unit: 's/GB' },
} satisfies Record<string, Measured>;

/** One result of 1 GB, loaded by a client on this machine. */
export function localFiles(bench: Bench): Promise<void> {
  const { figures, times } = bench;
  return withSaved(bench, async (address, segment, pid) => {
    await using client = createClient({ address });
    const load = async (localFiles: boolean, columns?: readonly string[]) => {
      let rows = 0;
      const what = columns === undefined ? {} : { columns };
      for await (const batch of client.load(KEY, { localFiles, ...what })) rows += batch.rowCount;
      return rows;
    };
    for (let i = 0; i < times; i++) {
      await figures.rate(CACHED, GB / 1e6, () => readThrough(segment));
      const cost = await costOf(pid, () => load(true));
      figures.add(FIGURES.load, GB / 1e6 / cost.seconds);
      figures.add(FIGURES.cpu, cost.cpuSeconds);
      await figures.rate(FIGURES.streamed, GB / 1e6, () => load(false));
      await figures.rate(FIGURES.column, GB / 1e6 / COLUMNS, () => load(true, ['v7']));
    }
  });
}

/** The same by numpy, which maps the files: see ../peers/local_load.py. */
export async function localNumpy(bench: Bench): Promise<void> {
  await bench.figures.orLeaveOut('numpy', () => loadsByNumpy(bench));
}

async function loadsByNumpy(bench: Bench): Promise<void> {
  const python = await virtualenv(join(PYTHON, 'requirements.txt'));
  const stubs = await generateStubs(python);
  const script = resolve('test/bench/peers/local_load.py');
  const env = { ...process.env, PYTHONPATH: stubs, PYTHONDONTWRITEBYTECODE: '1' };
  try {
    await withSaved(bench, async (address, segment) => {
      for (let i = 0; i < bench.times; i++) {
        await readThrough(segment);
        const { stdout } = await run(python, [script, address, KEY], { env, timeout: NUMPY_MS_MAX });
        addTold(bench.figures, stdout);
      }
    });
  } finally {
    await rm(stubs, { recursive: true, force: true });
  }
}

async function withSaved(
  bench: Bench,
  act: (address: string, segment: string, pid: number) => Promise<void>,
): Promise<void> {
  const socket = join(bench.folder, 'local.socket');
  await using daemon = await startDaemon(bench, 'local', ['--socket', socket]);
  const address = `unix:${socket}`;
  await using client = createClient({ address });
  await saveBulk(client, KEY, GB);
  const segments = join(bench.folder, 'local', 'segments');
  const [name = ''] = await readdir(segments);
  await act(address, join(segments, name), daemon.pid);
  await client.deleteResult(KEY);
}

async function readThrough(path: string): Promise<void> {
  await using file = await open(path);
  const piece = Buffer.alloc(PIECE_BYTES);
  while ((await file.read(piece, 0, PIECE_BYTES)).bytesRead > 0);
}
