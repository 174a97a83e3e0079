import { ConfigError } from '../../server/config.js';
import { StorageError } from '../../server/errors.js';
import { TokenFileError } from '../../server/rpc/access/token-file.js';
import { fileError } from './file-error.js';

/** What an error says to people. */
export interface Explained {
  readonly message: string;
  /** Of the contract's reasons. */
  readonly reason?: string;
  /** What to do next, where the message does not say it. */
  readonly hint?: string;
}

/** What to do next about a reason, in terms of this command. */
const HINTS: Readonly<Record<string, string>> = {
  RESULT_NOT_FOUND: '`optistore list` shows what there is.',
  REVISION_NOT_FOUND: '`optistore show KEY` tells the newest; older ones are kept for 10 minutes.',
  COLUMN_NOT_FOUND: '`optistore show KEY` lists the columns.',
  RESULT_SET_NOT_FOUND: '`optistore set KEY` lists the sets.',
  REVISION_MISMATCH: '`optistore show KEY` tells what is there now.',
  ROW_RANGE_INVALID: '`optistore show KEY` tells how many rows there are.',
  UPLOAD_NOT_FOUND: '`optistore uploads` lists those in progress.',
  UPLOAD_CONFLICT: 'Take another --upload-id, or the key and problem of that one: `optistore uploads`.',
  UPLOAD_COMMITTED: '`optistore list` has its result.',
  RESULT_CORRUPT: "`optistore verify KEY --repair` replaces it by the secondary's copy, where there is one.",
  DISK_FULL: '`optistore doctor` tells how much room there is; docs/limits.md what to do.',
  QUOTA_EXCEEDED: '`optistore delete --prefix` or a higher quota_mb makes room; docs/limits.md.',
  MEMORY_LIMIT: '`optistore delete` makes room, or a higher max_memory_mb; docs/limits.md.',
  BACKEND_UNAVAILABLE: '`optistore doctor` tells which store is away, and why.',
  EVENTS_EXPIRED: '`optistore list` what there is, then watch without --after.',
  FILTER_INVALID: 'docs/filter.md has the grammar, with examples.',
  NO_SECONDARY: 'docs/replication.md tells how one is added.',
  VOLATILE_TARGET: 'Say --keep to copy instead.',
  TOKEN_INVALID: 'Set OPTISTORE_TOKEN to what `optistore token create` printed.',
  NOT_ALLOWED: '`optistore doctor` tells what your token allows.',
  INTERNAL: 'The log of the daemon has more; please report it.',
};

/** Explains what was thrown. What is a defect of ours keeps its stack. */
export async function explain(error: unknown): Promise<Explained> {
  // Whoever throws them has them already.
  const { OptistoreError } = await import('../typescript/errors.js');
  const { InputError } = await import('./input-error.js');
  const { HintedError } = await import('./hinted-error.js');
  if (error instanceof HintedError) {
    const { hint: known, ...told } = await explain(error.cause);
    return { ...told, hint: known === undefined || error.isAll ? error.hint : `${known}\n${error.hint}` };
  }
  if (error instanceof OptistoreError || error instanceof StorageError) {
    const { message, reason } = error;
    if (reason === undefined) return { message };
    const hint = Object.hasOwn(HINTS, reason) ? HINTS[reason] : undefined;
    return { message, reason, ...(hint !== undefined && !saysIt(message, hint) && { hint }) };
  }
  if (error instanceof InputError || error instanceof ConfigError || error instanceof TokenFileError)
    return { message: error.message };
  // The system's own words name the file as well: ENOSPC, EMFILE and their like.
  if (error instanceof Error && 'syscall' in error) return { message: fileError(error) ?? error.message };
  return { message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}

/** Whether the daemon names the same command or page already. */
function saysIt(message: string, hint: string): boolean {
  const [named] = /`optistore \S+|docs\/\S+\.md/.exec(hint) ?? [];
  return named !== undefined && message.includes(named.replace(/`$/, ''));
}

/** As it is printed to standard error: for people, or with --json an object on a line. */
export function errorText({ message, reason, hint }: Explained, isJson: boolean): string {
  if (isJson) return JSON.stringify({ error: { message, reason, hint } });
  const first = reason === undefined ? message : `${message} [${reason}]`;
  return hint === undefined ? first : `${first}\n${hint}`;
}
