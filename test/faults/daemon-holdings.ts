import { readdir, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { createClient, type DaemonClientOptions } from '../../clients/typescript/index.js';
import { residentBytes } from '../rpc/processes.js';
import type { TestDaemon } from '../rpc/wire.js';

const MIB = 1024 * 1024;

/**
 * What a daemon may take of memory, in MiB: 200, its cache, what is pinned in it, and 64 for rows that are on their
 * way to the disk.
 */
export const MEMORY_MIB_MAX = 200 + 100 + 100 + 64;

/**
 * What a process holds open, LevelDB's own files aside: those come and go with its compactions. The journal is the journal,
 * whichever its number: it moves on to the next one as rows come.
 */
export async function openFiles(pid: number): Promise<{ sockets: number; files: string[] }> {
  const folder = `/proc/${pid}/fd`;
  const links = await Promise.all((await readdir(folder)).map((fd) => readlink(`${folder}/${fd}`).catch(() => '')));
  const files = links.filter((link) => link.startsWith('/') && !/\/index\/|\/dev\//.test(link));
  const named = files.map((file) => file.replace(/\d+(?=\.journal$)/, 'N')).sort();
  return { sockets: links.filter((link) => link.startsWith('socket:')).length, files: named };
}

/** Resident memory of a process now, or at its highest, in MiB. */
export function memoryMib(pid: number, what?: 'VmRSS' | 'VmHWM'): number {
  return residentBytes(pid, what) / MIB;
}

/**
 * Waits until a daemon has let go of all that its callers had: no stream, no upload, no connection and no file more than
 * before. The test's time is the limit; then it fails with what is left.
 */
export async function expectNothingLeft(
  daemon: Pick<TestDaemon, 'address' | 'process'>,
  before: Awaited<ReturnType<typeof openFiles>>,
  connection: DaemonClientOptions = {},
  memoryMibMax = MEMORY_MIB_MAX,
): Promise<void> {
  const left = async () => {
    const client = createClient({ address: daemon.address, ...connection });
    const { streamCount, uploadCount } = await client.getStatus();
    client.close();
    return { streamCount, uploadCount, ...(await openFiles(daemon.process.pid)) };
  };
  const isMore = ({ streamCount, uploadCount, sockets, files }: Awaited<ReturnType<typeof left>>) =>
    streamCount > 0n || uploadCount > 0n || sockets > before.sockets || files.join() !== before.files.join();
  let now = await left();
  for (let tries = 0; tries < 200 && isMore(now); tries++) {
    await sleep(100);
    now = await left();
  }
  // A connection that was on its way out when it began is no loss.
  expect({ ...now, sockets: Math.max(now.sockets, before.sockets) }).toEqual({
    streamCount: 0n,
    uploadCount: 0n,
    ...before,
  });
  // A file that was forgotten is closed by Node some day, which says so.
  expect(daemon.process.log.filter((line) => line.includes('on garbage collection'))).toEqual([]);
  expect(memoryMib(daemon.process.pid, 'VmHWM')).toBeLessThan(memoryMibMax);
}
