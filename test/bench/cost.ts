import { readFileSync } from 'node:fs';

/** What a process, and the disks below it, had done until some moment. */
export interface Cost {
  /** Of the processor, user and system. */
  readonly cpuSeconds: number;
  /** Sent to the disk by the process. */
  readonly writtenBytes: number;
  /** Flushes that the disks had done, of all processes: there is no count by process. */
  readonly flushes: number;
}

const TICKS_A_SECOND = 100;

/** Reads a process's account in /proc. */
export function costSoFar(pid: number): Cost {
  // Behind the name in brackets, which may hold anything: state is field 3, user and system time are 14 and 15.
  const fields = (readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1) ?? '').split(' ');
  const disks = readFileSync('/proc/diskstats', 'utf8').trim().split('\n');
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND,
    writtenBytes: Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]),
    flushes: disks.reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[18] ?? 0), 0),
  };
}

/** What came in between. */
export function costSince(pid: number, before: Cost): Cost {
  const now = costSoFar(pid);
  return {
    cpuSeconds: now.cpuSeconds - before.cpuSeconds,
    writtenBytes: now.writtenBytes - before.writtenBytes,
    flushes: now.flushes - before.flushes,
  };
}

/** The most memory that a process has had, in MiB. */
export function peakMemory(pid: number): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1]) / 1024;
}
