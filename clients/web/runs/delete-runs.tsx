import type { Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import { daemon } from '../connection/daemon.js';
import { explain } from '../connection/errors.js';
import { hasSecondary } from '../connection/status.js';
import { confirm } from '../parts/dialog.js';
import { formatBytes, formatCount, formatCounted } from '../parts/format.js';
import { toast } from '../parts/toast.js';
import { forget } from './selection.js';

const NAMED_MAX = 12;
const AT_ONCE = 4;

/** Asks, and deletes these results in the revisions that are shown: one that was changed meanwhile is left alone. */
export async function deleteRuns(results: readonly Result[]): Promise<void> {
  const [first] = results;
  if (first === undefined) return;
  const what = results.length === 1 ? `"${first.key}"` : formatCounted(results.length, 'result');
  const question = { title: `Delete ${what}?`, body: <WhatGoes results={results} />, isDanger: true };
  const action = results.length === 1 ? 'Delete' : `Delete ${what}`;
  if (!(await confirm({ ...question, action }))) return;
  const left = [...results];
  const failures: string[] = [];
  const work = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const failure = await deleteRun(next);
      if (failure === undefined) forget(next.key);
      else failures.push(`${next.key}: ${failure}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const deleted = results.length - failures.length;
  if (deleted > 0)
    toast(deleted === 1 ? `${first.key} is deleted.` : `${formatCounted(deleted, 'result')} are deleted.`);
  const [failure] = failures;
  if (failure === undefined) return;
  const others = failures.length > 1 ? ` And ${formatCount(failures.length - 1)} more.` : '';
  toast(`Not deleted: ${failure}${others}`, { isError: true });
}

/** Why it could not be deleted. */
async function deleteRun({ key, revision }: Result): Promise<string | undefined> {
  try {
    await daemon.deleteResult({ key, expectedRevision: revision });
    return undefined;
  } catch (error) {
    const { reason, message } = explain(error);
    if (reason === 'RESULT_NOT_FOUND') return undefined;
    return reason === 'REVISION_MISMATCH' ? 'it was changed meanwhile, and is left alone.' : message;
  }
}

function WhatGoes({ results }: { readonly results: readonly Result[] }) {
  const rows = results.reduce((sum, { rowCount }) => sum + rowCount, 0n);
  const bytes = results.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0n);
  const sets = results.reduce((sum, { resultSets }) => sum + resultSets.length, 0);
  const more = results.length - NAMED_MAX;
  return (
    <>
      <ul class="named">
        {results.slice(0, NAMED_MAX).map(({ key, revision, rowCount }) => (
          <li key={key}>
            <span class="mono">{key}</span>
            <span class="muted number">
              revision {formatCount(revision)}, {formatCounted(rowCount, 'row')}
            </span>
          </li>
        ))}
        {more > 0 && <li class="muted">and {formatCount(more)} more</li>}
      </ul>
      <p>
        {formatCounted(rows, 'row')}, {formatBytes(bytes)}
        {sets > 0 && `, and ${formatCounted(sets, 'result set')}`} go{' '}
        {hasSecondary.value ? 'from the primary, the secondary and the cache' : 'from the store'}. This can’t be undone.
      </p>
    </>
  );
}
