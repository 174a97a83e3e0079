import { join, resolve } from 'node:path';
import { DaemonProcess } from '../../clients/cli/daemon-process.js';
import { ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Figures } from './figures.js';

/** The daemon as it is installed, or with a profile taken of it: see profiled-daemon.ts. */
export const MAIN = resolve(
  process.env['BENCH_PROFILE'] === undefined ? 'dist/bin/optistore.js' : 'dist/test/bench/profiled-daemon.js',
);

/** What each part of the bench is given. */
export interface Bench {
  readonly figures: Figures;
  /** Where stores are put. */
  readonly folder: string;
  /** How often each thing is measured. */
  readonly times: number;
}

/** A daemon that is being measured. It is told to end at the end. */
export interface MeasuredDaemon extends AsyncDisposable {
  readonly address: string;
  readonly pid: number;
}

/** Starts a daemon with an empty LevelDB store, as a user has it who sets nothing. */
export async function startDaemon(
  { folder }: Bench,
  store: string,
  flags: readonly string[] = [],
): Promise<MeasuredDaemon> {
  const daemon = await DaemonProcess.start(['--path', join(folder, store), '--listen', '127.0.0.1:0', ...flags], MAIN);
  const { address, pid } = daemon;
  return { address, pid, [Symbol.asyncDispose]: async () => void (await daemon.stop('SIGTERM')) };
}

/** How many columns everything that is saved has. */
export const COLUMNS = 40;

/** They are float64: v0, v1, … */
export const VARIABLES = Array.from({ length: COLUMNS }, (_, i) => ({
  name: `v${i}`,
  role: VariableRole.OBSERVABLE,
  valueType: ValueType.FLOAT64,
}));

/** Rows of noise, by column. */
export function noise(rowCount: number): Record<string, Float64Array> {
  return Object.fromEntries(VARIABLES.map(({ name }) => [name, Float64Array.from({ length: rowCount }, Math.random)]));
}
