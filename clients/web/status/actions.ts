/** The long calls of the service, each begun as an operation that the page shows. */
import { Backend } from '../../../proto/gen/optistore/v1/result_pb.js';
import {
  VerifyState,
  type MigrateResultResponse,
  type MigrateStoreResponse,
  type ReplicateResultsResponse,
  type VerifyResultsResponse,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { daemon } from '../connection/daemon.js';
import { formatBytes, formatCount, formatCounted } from '../parts/format.js';
import { begin, type Finding, type Told } from './operations.js';

/** The name of a store's place, as the commands take it. */
export const BACKEND_NAMES: Readonly<Record<Backend, string>> = {
  [Backend.UNSPECIFIED]: 'all stores',
  [Backend.PRIMARY]: 'primary',
  [Backend.SECONDARY]: 'secondary',
  [Backend.CACHE]: 'cache',
};

function what(prefix: string): string {
  return prefix === '' ? 'all results' : `results that begin with ${prefix}`;
}

/** Reads results again, and checks every byte. */
export function startVerify(request: { prefix: string; backend: Backend; repair: boolean }): void {
  const { prefix, backend, repair } = request;
  const where = backend === Backend.UNSPECIFIED ? '' : ` in the ${BACKEND_NAMES[backend]}`;
  const counts = { ok: 0, corrupt: 0, missing: 0, repaired: 0 };
  begin(
    `${repair ? 'Verify and repair' : 'Verify'} ${what(prefix)}${where}`,
    (signal) => daemon.verifyResults(request, { signal }),
    (message) => readVerified(message, counts),
  );
}

const FOUND = {
  [VerifyState.CORRUPT]: ['corrupt', 'error'],
  [VerifyState.MISSING]: ['missing', 'error'],
  [VerifyState.REPAIRED]: ['repaired', 'warn'],
} as const;

function readVerified(message: VerifyResultsResponse, counts: Record<string, number>): Told {
  const { key, backend, state, checkedCount, totalCount, checkedBytes } = message;
  const isFine = state === VerifyState.OK || state === VerifyState.UNSPECIFIED;
  const [name, tone] = isFine ? (['ok', 'ok'] as const) : FOUND[state];
  counts[name] = (counts[name] ?? 0) + 1;
  const where = BACKEND_NAMES[backend];
  return {
    progress: {
      ...{ at: key, done: Number(checkedCount), total: Number(totalCount) },
      counts: { ...counts, read: formatBytes(checkedBytes) },
    },
    finding: isFine ? undefined : { key, what: `${name} in the ${where}`, tone, message: message.message },
  };
}

/** Copies to the secondary what it lacks. */
export function startReplicate(prefix: string): void {
  let failed = 0;
  begin(
    `Replicate ${what(prefix)}`,
    (signal) => daemon.replicateResults({ prefix }, { signal }),
    (message) => {
      if (message.failure !== '') failed++;
      return readCopied(message, failed);
    },
  );
}

function readCopied(message: ReplicateResultsResponse | MigrateStoreResponse, failed: number): Told {
  const { key, doneCount, totalCount, copiedCount, failure } = message;
  return {
    progress: {
      ...{ at: key, done: Number(doneCount), total: Number(totalCount) },
      counts: { copied: Number(copiedCount), failed },
    },
    finding: notCopied(key, failure),
  };
}

function notCopied(key: string, failure: string): Finding | undefined {
  return failure === '' ? undefined : { key, what: 'not copied', tone: 'error', message: failure };
}

/** Copies everything from the primary to the secondary, while the daemon serves. */
export function startMigrateStore(): void {
  let failed = 0;
  begin(
    'Migrate the store to the secondary',
    (signal) => daemon.migrateStore({}, { signal }),
    (message) => {
      if (message.failure !== '') failed++;
      return { ...readCopied(message, failed), word: message.done ? wordOf(message) : undefined };
    },
  );
}

function wordOf({ complete, openUploadIds, pendingCount, failedCount }: MigrateStoreResponse): string {
  const open = openUploadIds.length;
  if (open > 0)
    return `${formatCounted(open, 'save')} in progress stay in the primary until they are committed. Wait for them, and run this again before the stores are swapped.`;
  if (failedCount > 0n)
    return `${formatCounted(failedCount, 'result')} could not be copied. Do not swap the stores yet.`;
  if (pendingCount > 0n)
    return `${formatCounted(pendingCount, 'change')} came meanwhile and are on their way. Run this again when nothing is saved any more.`;
  return complete
    ? 'The secondary has everything. The stores can be swapped in the configuration: docs/migration.md.'
    : 'The secondary does not have everything yet. Run this again.';
}

/** Which results go from where to where. */
export interface Migration {
  readonly which: { readonly key: string } | { readonly prefix: string } | { readonly all: true };
  readonly from: Backend;
  readonly to: Backend;
  readonly keepSource: boolean;
}

/** Moves or copies results between the stores. */
export function startMigrate({ which, from, to, keepSource }: Migration): void {
  const name = 'key' in which ? which.key : 'prefix' in which ? what(which.prefix) : 'all results';
  const verb = keepSource ? 'Copy' : 'Move';
  let failed = 0;
  begin(
    `${verb} ${name} from the ${BACKEND_NAMES[from]} to the ${BACKEND_NAMES[to]}`,
    (signal) => daemon.migrateResult({ ...which, fromBackend: from, toBackend: to, keepSource }, { signal }),
    (message) => {
      if (message.failure !== '') failed++;
      return readMigrated(message, failed);
    },
  );
}

function readMigrated(message: MigrateResultResponse, failed: number): Told {
  const { key, doneCount, totalCount, copiedBytes, copiedRowCount, rowCount, failure, done } = message;
  const rows = rowCount > 0n && !done ? ` (${formatCount(copiedRowCount)} of ${formatCounted(rowCount, 'row')})` : '';
  return {
    progress: {
      ...{ at: `${key}${rows}`, done: Number(doneCount), total: Number(totalCount) },
      counts: { done: Number(doneCount), failed, copied: formatBytes(copiedBytes) },
    },
    finding: failure === '' ? undefined : { key, what: 'left where it is', tone: 'error', message: failure },
  };
}
