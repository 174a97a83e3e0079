import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { virtualenv } from '../../python/virtualenv.js';
import type { Bench } from '../bench.js';

const FOLDER = resolve('test/bench/peers');
const PEERS = ['flight', 'flight-memory', 'pickle', 'sqlalchemy', 'h5py', 'optuna'];
const PEER_MS_MAX = 600_000;

/** A line that peers.py prints. */
interface Told {
  readonly id: string;
  readonly what: string;
  readonly unit: string;
  readonly value: number;
}

/** What users would pick instead, by the same work on the same disk. */
export async function peers({ figures, folder, times }: Bench): Promise<void> {
  const python = await virtualenv(join(FOLDER, 'requirements.txt'));
  for (let run = 0; run < times; run++)
    for (const peer of PEERS) {
      const place = await mkdtemp(join(folder, 'peer-'));
      const { stdout } = await promisify(execFile)(python, [join(FOLDER, 'peers.py'), peer, place], {
        timeout: PEER_MS_MAX,
      });
      for (const line of stdout.trim().split('\n')) {
        const { value, ...measured } = JSON.parse(line) as Told;
        figures.add(measured, value);
      }
      await rm(place, { recursive: true });
    }
}
