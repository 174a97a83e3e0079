import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';

/** Where and of what the figures are. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  /** File system that the stores lie on. */
  readonly fileSystem: string;
  readonly node: string;
  /** What was measured: the commit, and whether files differed from it. */
  readonly commit: string;
  readonly time: string;
}

const output = (command: string, ...args: string[]) => execFileSync(command, args, { encoding: 'utf8' }).trim();

/** This machine, and this checkout. */
export function thisMachine(folder: string): Machine {
  const isChanged = output('git', 'status', '--porcelain', '--', 'server', 'clients', 'proto', 'test/bench') !== '';
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    fileSystem: output('stat', '--file-system', '--format', '%T', folder),
    node: process.version,
    commit: output('git', 'rev-parse', '--short', 'HEAD') + (isChanged ? ' with changes' : ''),
    time: new Date().toISOString(),
  };
}
