import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { PostgresServer } from '../../backends/postgres.js';
import { run, virtualenv } from '../../python/virtualenv.js';
import { goTool } from '../../rpc/go-tool.js';
import type { Bench } from '../bench.js';
import { addTold } from '../told.js';

const FOLDER = resolve('test/bench/peers');
const PEER_MS_MAX = 600_000;

/** What peers.py is to do, with what. */
interface Peer {
  readonly name: string;
  /** The packages that it needs; none: those of most. */
  readonly requirements?: string;
  /** Does something while there is what it needs beside them, which is told in a word. */
  readonly given?: (act: (given: string) => Promise<void>) => Promise<void>;
}

async function withPostgres(act: (url: string) => Promise<void>): Promise<void> {
  await using server = await PostgresServer.start();
  await act(await server.createDatabase());
}

async function withS3Server(act: (program: string) => Promise<void>): Promise<void> {
  await act(await goTool('github.com/versity/versitygw/cmd/versitygw', 'v1.8.0'));
}

const PEERS: readonly Peer[] = [
  { name: 'flight' },
  { name: 'flight-memory' },
  { name: 'pickle' },
  { name: 'sqlalchemy' },
  { name: 'h5py' },
  { name: 'postgres-bytea', given: withPostgres },
  { name: 'postgres-copy', given: withPostgres },
  { name: 's3', given: withS3Server },
  { name: 'mlflow', requirements: 'mlflow-requirements.txt' },
];

/** What users would pick instead, by the same work on the same disk. One that cannot be had here is told and left out. */
export async function peers({ figures, folder, times }: Bench): Promise<void> {
  let asked = PEERS;
  const names = process.env['BENCH_PEERS']?.split(',');
  if (names !== undefined) asked = asked.filter(({ name }) => names.includes(name));
  for (let i = 0; i < times; i++)
    for (const peer of asked) {
      const place = await mkdtemp(join(folder, 'peer-'));
      const isHad = await figures.orLeaveOut(peer.name, async () => addTold(figures, await measured(peer, place)));
      // Not again: what failed would take its time again.
      if (!isHad) asked = asked.filter((other) => other !== peer);
      await rm(place, { recursive: true });
    }
}

/** What peers.py prints of a peer, which has a folder for itself. */
async function measured({ name, requirements, given }: Peer, place: string): Promise<string> {
  const python = await virtualenv(join(FOLDER, requirements ?? 'requirements.txt'));
  let told = '';
  const measure = async (...words: string[]) => {
    const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1' };
    const script = [join(FOLDER, 'peers.py'), name, place, ...words];
    told = (await run(python, script, { env, timeout: PEER_MS_MAX, maxBuffer: 2 ** 26 })).stdout;
  };
  await (given?.(measure) ?? measure());
  return told;
}
