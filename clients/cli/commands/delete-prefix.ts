import { createInterface } from 'node:readline/promises';
import { OptistoreError, type OptistoreClient, type Result } from '../../typescript/index.js';
import { connect } from '../connect.js';
import { InputError } from '../input-error.js';
import { print, printJson } from '../stdout.js';
import { counted, megabytes } from '../words.js';

/** Flags of `optistore delete --prefix`. */
export interface DeletePrefixFlags {
  readonly server?: string;
  readonly json?: boolean;
  readonly prefix: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

/** What is to be deleted: a result as it was listed. */
type Doomed = Pick<Result, 'key' | 'revision' | 'rowCount' | 'sizeBytes'>;

/**
 * `optistore delete --prefix`: lists what would go, asks, and deletes each result in the revision that was listed. One that
 * was changed in the meantime is kept, told, and makes the command fail.
 */
export async function removeByPrefix(flags: DeletePrefixFlags): Promise<void> {
  const { json = false, dryRun = false } = flags;
  await using client = connect(flags);
  const doomed: Doomed[] = [];
  for await (const { key, revision, rowCount, sizeBytes } of client.listResults({ prefix: flags.prefix })) {
    doomed.push({ key, revision, rowCount, sizeBytes });
    if (dryRun && !json) print([key, `${rowCount} rows`, megabytes(sizeBytes), `revision ${revision}`].join('\t'));
  }
  const total = `${counted(doomed.length, 'result')}, ${megabytes(doomed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0n))}`;
  if (dryRun)
    return json ? printJson(asJson(doomed, [], true)) : print(`${total}: nothing was deleted, this was a dry run`);
  if (doomed.length > 0 && !flags.yes && !(await confirms(`Delete ${total}?`))) return print('nothing was deleted');
  const skipped = await removeAll(client, doomed);
  if (json) printJson(asJson(doomed, skipped, false));
  else print(`${counted(doomed.length - skipped.length, 'result')} deleted`);
  if (skipped.length > 0)
    throw new InputError(
      `${skipped.length} results were changed or deleted by someone else in the meantime and left alone: ${skipped.join(', ')}`,
    );
}

function asJson(doomed: readonly Doomed[], skipped: readonly string[], dryRun: boolean): object {
  const told = ({ key, revision, rowCount, sizeBytes }: Doomed) => ({
    ...{ key, revision: `${revision}`, rowCount: `${rowCount}`, sizeBytes: `${sizeBytes}` },
  });
  const deleted = doomed.filter(({ key }) => !skipped.includes(key)).map(told);
  return { dryRun, results: deleted, skipped };
}

/** Deletes results in the revision that was listed; gives the keys of those that have another by now, or none. */
export async function removeAll(client: OptistoreClient, doomed: readonly Doomed[]): Promise<string[]> {
  const skipped: string[] = [];
  for (const { key, revision } of doomed) {
    try {
      await client.deleteResult(key, { expectedRevision: revision });
    } catch (error) {
      const isChanged =
        error instanceof OptistoreError &&
        (error.reason === 'REVISION_MISMATCH' || error.reason === 'RESULT_NOT_FOUND');
      if (!isChanged) throw error;
      skipped.push(key);
    }
  }
  return skipped;
}

/** Asks on a terminal. A script has nobody to ask: it says --yes. */
async function confirms(question: string): Promise<boolean> {
  if (!process.stdin.isTTY)
    throw new InputError(`${question} Nobody can be asked: say --yes to delete, or --dry-run to see what would go.`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
