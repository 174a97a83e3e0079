import { statfs } from 'node:fs/promises';
import { BALLAST_BYTES_MAX, BALLAST_SHARE, DISK_RESERVE_BYTES_MAX, DISK_RESERVE_SHARE } from '../../limits.js';

/** A disk as a store sees it. */
export interface Disk {
  /** What the store may still write: what is free, and what it can use again of its own. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** The disk on which a file or folder lies. */
export async function diskOf(path: string): Promise<Disk> {
  const { bavail, blocks, bsize } = await statfs(path);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}

/** What of a disk is kept for commits and deletions. */
export function reserveOf({ totalBytes }: Disk): number {
  return Math.min(DISK_RESERVE_BYTES_MAX, Math.floor(totalBytes * DISK_RESERVE_SHARE));
}

/** How long the ballast is that a store keeps on a disk. */
export function ballastOf({ totalBytes }: Disk): number {
  return Math.min(BALLAST_BYTES_MAX, Math.floor(totalBytes * BALLAST_SHARE));
}
