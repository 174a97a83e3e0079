import { join } from 'node:path';
import { DaemonProcess } from '../../clients/cli/daemon-process.js';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import type { Bench } from './bench.js';
import { MAIN } from './bench.js';
import { median } from './figures.js';

/** A daemon that can be killed, and started again on what it has left. */
export interface Started extends AsyncDisposable {
  readonly daemon: DaemonProcess;
  readonly client: OptistoreClient;
  /** From its spawn to its first answer. */
  readonly startMs: number;
}

/** Starts a daemon on a store as it is, and waits until it has told its status. */
export async function startOn({ folder }: Bench, store: string, listen = '127.0.0.1:0'): Promise<Started> {
  const startedMs = performance.now();
  const daemon = await DaemonProcess.start(['--path', join(folder, store), '--listen', listen], MAIN);
  const client = createClient({ address: daemon.address });
  await client.getStatus();
  const startMs = performance.now() - startedMs;
  const end = async () => {
    client.close();
    await daemon.stop('SIGTERM');
  };
  return { daemon, client, startMs, [Symbol.asyncDispose]: end };
}

/** Milliseconds of a start on a store that was left in a way: the median of some. */
export async function startsAfter(
  bench: Bench,
  store: string,
  signal: 'SIGTERM' | 'SIGKILL',
  times = 5,
): Promise<number> {
  const taken: number[] = [];
  // Of the first, nobody knows how the store was left.
  for (let i = 0; i <= times; i++) {
    const { daemon, client, startMs } = await startOn(bench, store);
    if (i > 0) taken.push(startMs);
    client.close();
    await daemon.stop(signal);
  }
  return median(taken);
}

/** Milliseconds that an act takes, done some times over, each time with the next number. */
export async function times(count: number, act: (number: number) => Promise<unknown>): Promise<number[]> {
  const taken: number[] = [];
  for (let number = 0; number < count; number++) {
    const startedMs = performance.now();
    await act(number);
    taken.push(performance.now() - startedMs);
  }
  return taken;
}
