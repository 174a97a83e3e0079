import { Presets, SingleBar } from 'cli-progress';
import { atSignal } from './terminal/at-signal.js';

/** A bar on a terminal; nothing in a pipe. */
export interface Progress {
  update(value: number): void;
  stop(): void;
}

/** Shows how far long work is. `total`: undefined while it is not known. */
export function progressBar(what: string, total?: number): Progress {
  if (!process.stderr.isTTY) return { update: () => undefined, stop: () => undefined };
  const format =
    total === undefined ? `${what}: {value}` : `${what} {bar} {percentage}% · {value}/{total} · {eta_formatted}`;
  const bar = new SingleBar(
    { format, stream: process.stderr, hideCursor: true, clearOnComplete: true },
    Presets.shades_classic,
  );
  bar.start(total ?? Number.MAX_SAFE_INTEGER, 0);
  // It has hidden the cursor, and cuts lines.
  const restoring = atSignal(() => bar.stop());
  const stop = () => {
    restoring[Symbol.dispose]();
    bar.stop();
  };
  return { update: (value) => bar.update(value), stop };
}
