import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Bytes of memory that a process has now, or had at most. */
export function residentBytes(pid: number, what: 'VmRSS' | 'VmHWM' = 'VmRSS'): number {
  const kib = new RegExp(`${what}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) * 1024;
}

/** How long a process has been at work, in hundredths of a second. */
export function cpuTicks(pid: number): number {
  // Behind the name, which may have blanks, utime and stime are the 12th and 13th.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

/** Waits until a process has done next to nothing for a second, or, as it is looked at, is past bearing. */
export async function untilStill(pid: number, isTooMuch: () => boolean = () => false): Promise<void> {
  let busy = cpuTicks(pid);
  for (let still = 0; still < 20 && !isTooMuch(); still++) {
    await sleep(50);
    const now = cpuTicks(pid);
    if (now <= busy + 1) continue;
    [busy, still] = [now, 0];
  }
}
