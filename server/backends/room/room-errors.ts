import { StorageError } from '../../errors.js';
import { reserveOf, type Disk } from './disk.js';

/** The error for rows or changes that a store's disk has no room for. */
export function diskFull(wantedBytes: number, disk: Disk, cause?: unknown): StorageError {
  const [wanted, free, reserved] = [wantedBytes, disk.freeBytes, reserveOf(disk)];
  return new StorageError(
    'DISK_FULL',
    `The disk of the store is full: ${wanted} bytes are wanted, and ${free} are free, of which ${reserved} are kept for commits and deletions. Nothing acknowledged is lost: delete results or free room on the disk, then resume the upload.`,
    {
      cause,
      metadata: { wanted_bytes: String(wanted), free_bytes: String(free), reserved_bytes: String(reserved) },
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
