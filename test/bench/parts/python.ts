import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pythonPackage } from '../../python/package.js';
import { run } from '../../python/virtualenv.js';
import { startDaemon, type Bench } from '../bench.js';
import { addTold } from '../told.js';

const SCRIPT = resolve('test/bench/peers/peers.py');
const MS_MAX = 600_000;

/** Results from and to numpy: by the Python package, streamed and at a Unix socket, and by Arrow Flight. */
export function python(bench: Bench): Promise<void> {
  return inTurn(bench, 'python', ['optistore', 'optistore-files', 'flight']);
}

/** Studies of Optuna: streamed to the daemon by the callback of the Python package, and kept by Optuna's own storages. */
export function optuna(bench: Bench): Promise<void> {
  return inTurn(bench, 'optuna', ['optuna-streamed', 'optuna']);
}

/** What peers.py measures of each, with the Python package, beside a daemon of their own. */
async function inTurn(bench: Bench, part: string, peers: readonly string[]): Promise<void> {
  await bench.figures.orLeaveOut(part, () => measured(bench, part, peers));
}

async function measured(bench: Bench, part: string, peers: readonly string[]): Promise<void> {
  const { figures, folder, times } = bench;
  const { python, env } = await pythonPackage();
  const socket = join(folder, `${part}.socket`);
  await using daemon = await startDaemon(bench, part, ['--socket', socket]);
  for (let i = 0; i < times; i++)
    for (const peer of peers) {
      const place = await mkdtemp(join(folder, `${part}-`));
      const given = peer.endsWith('files') ? `unix:${socket}` : daemon.address;
      const options = { env, timeout: MS_MAX, maxBuffer: 2 ** 26 };
      addTold(figures, (await run(python, [SCRIPT, peer, place, given], options)).stdout);
      await rm(place, { recursive: true });
    }
}
