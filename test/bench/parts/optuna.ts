import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pythonPackage } from '../../python/package.js';
import { run } from '../../python/virtualenv.js';
import { startDaemon, type Bench } from '../bench.js';
import { addTold } from '../told.js';

const SCRIPT = resolve('test/bench/peers/peers.py');
const MS_MAX = 600_000;

/** Studies of Optuna: streamed to the daemon by the callback of the Python package, and kept by Optuna's own storages. */
export async function optuna(bench: Bench): Promise<void> {
  await bench.figures.orLeaveOut('optuna', () => measured(bench));
}

async function measured(bench: Bench): Promise<void> {
  const { figures, folder, times } = bench;
  const { python, env } = await pythonPackage();
  await using daemon = await startDaemon(bench, 'optuna');
  for (let i = 0; i < times; i++) {
    const place = await mkdtemp(join(folder, 'optuna-'));
    for (const peer of ['optuna-streamed', 'optuna']) {
      const script = [SCRIPT, peer, place, daemon.address];
      const { stdout } = await run(python, script, { env, timeout: MS_MAX, maxBuffer: 2 ** 26 });
      addTold(figures, stdout);
    }
    await rm(place, { recursive: true });
  }
}
