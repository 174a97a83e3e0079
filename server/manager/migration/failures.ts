import type { Reason, StorageError } from '../../errors.js';

const OF_ONE_RESULT: ReadonlySet<Reason> = new Set<Reason>([
  'RESULT_CORRUPT',
  'RESULT_NOT_FOUND',
  'REVISION_NOT_FOUND',
  'REVISION_MISMATCH',
  'UPLOAD_TAKEN_OVER',
  // A smaller one may still fit.
  'MEMORY_LIMIT',
]);

/** Whether a failure is that of one result, and the others may go on; else their store is down or full, or there is a defect. */
export function isOfOneResult({ reason }: StorageError): boolean {
  return OF_ONE_RESULT.has(reason);
}
