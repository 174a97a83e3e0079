import { StorageError } from '../../errors.js';
import { reserveOf, type Disk } from './disk.js';

/**
 * The error for rows or changes that a store's disk has no room for. `wantedBytes`: of rows that are sent; what changes and syncs want
 * is not known. `cause`: what the disk said.
 */
export function diskFull(wantedBytes: number | undefined, disk: Disk, cause?: unknown): StorageError {
  const [free, reserved] = [disk.freeBytes, reserveOf(disk)];
  const what =
    wantedBytes === undefined ? `${free} bytes are free` : `${wantedBytes} bytes are wanted, and ${free} are free`;
  const hasRoom = cause !== undefined && free - (wantedBytes ?? 0) > reserved;
  const hint = hasRoom ? ' As that seems to be enough, look also at quotas and at inodes of its file system.' : '';
  const next = wantedBytes === undefined ? 'try again' : 'resume the upload';
  return new StorageError(
    'DISK_FULL',
    `The disk of the store is full: ${what}, of which ${reserved} are kept for commits and deletions.${hint} Nothing acknowledged is lost: delete results or free room on the disk, then ${next}.`,
    {
      cause,
      metadata: {
        ...(wantedBytes !== undefined && { wanted_bytes: String(wantedBytes) }),
        ...{ free_bytes: String(free), reserved_bytes: String(reserved) },
      },
    },
  );
}

/** The error for rows that a store may not hold beside those that it has. */
export function quotaExceeded(wantedBytes: number, usedBytes: number, quotaBytes: number): StorageError {
  return new StorageError(
    'QUOTA_EXCEEDED',
    `The store may hold ${quotaBytes} bytes (quota_mb); it holds ${usedBytes}, uploads included, and ${wantedBytes} more are wanted. Nothing acknowledged is lost: delete results, abort uploads or raise quota_mb, then resume the upload.`,
    {
      metadata: {
        wanted_bytes: String(wantedBytes),
        used_bytes: String(usedBytes),
        allowed_bytes: String(quotaBytes),
      },
    },
  );
}
