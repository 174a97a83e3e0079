import { readFileSync } from 'node:fs';
import { cpuTicks, residentBytes } from '../rpc/processes.js';
import { seconds, type Figures } from './figures.js';

/** What a process, and the disks below it, do. */
export interface Cost {
  /** Of the processor, user and system. */
  readonly cpuSeconds: number;
  /** Sent to the disk by the process. */
  readonly writtenBytes: number;
  /** Flushes that the disks had done, of all processes: there is no count by process. */
  readonly flushes: number;
}

const TICKS_A_SECOND = 100;

/** What an act takes: its time, and what a process did meanwhile. */
export async function costOf(pid: number, act: () => Promise<unknown>): Promise<Cost & { seconds: number }> {
  const before = costSoFar(pid);
  const taken = await seconds(act);
  const now = costSoFar(pid);
  return {
    cpuSeconds: now.cpuSeconds - before.cpuSeconds,
    writtenBytes: now.writtenBytes - before.writtenBytes,
    flushes: now.flushes - before.flushes,
    seconds: taken,
  };
}

/** Reads a process's account in /proc. */
function costSoFar(pid: number): Cost {
  const disks = readFileSync('/proc/diskstats', 'utf8').trim().split('\n');
  return {
    cpuSeconds: cpuTicks(pid) / TICKS_A_SECOND,
    writtenBytes: Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]),
    flushes: disks.reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[18] ?? 0), 0),
  };
}

/** The most memory that a process has had, in MiB. */
export function peakMemory(pid: number): number {
  return residentBytes(pid, 'VmHWM') / 2 ** 20;
}

/** Adds the most memory that a daemon has had through a part of the bench. */
export function addPeakMemory(figures: Figures, pid: number, id: string, part: string): void {
  figures.add(
    { id: `${id}_memory`, what: `most memory of the daemon, ${part}`, unit: 'MiB', aim: '< 300' },
    peakMemory(pid),
  );
}
