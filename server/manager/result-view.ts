import { create } from '@bufbuild/protobuf';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ProblemSchema } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Result } from '../../proto/gen/optistore/v1/result_pb.js';
import { ReplicationState, ResultSchema, ResultState, ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import { encodedBytes } from '../messages/encode.js';
import { SHOWN_PROBLEM_BYTES_MAX, SHOWN_ROWS_BYTES_MAX } from '../limits.js';
import { rowNumbersBytes } from '../rows/row-numbers/write-form.js';
import { withoutRows } from './result-sets/check-sets.js';

/** What callers see of a manifest. */
export function toResult(manifest: Manifest, view: ResultView): Result {
  const { key, revision, tags, rowCount, sizeBytes, uploadId, outcome, description, createdBy } = manifest;
  const { problem, attributes, createTime, commitTime, updateTime, resultSets } = manifest;
  return create(ResultSchema, {
    ...{ key, revision, tags, rowCount, sizeBytes, uploadId, outcome, description, createdBy },
    state: ResultState.COMMITTED,
    columns: view === ResultView.FULL ? manifest.columns : [],
    resultSets: view === ResultView.FULL && showsRows(manifest) ? resultSets : resultSets.map(withoutRows),
    replication: manifest.replication || ReplicationState.NONE,
    ...(problem && { problem }),
    ...(attributes && { attributes }),
    ...(createTime && { createTime }),
    ...(commitTime && { commitTime }),
    ...(updateTime && { updateTime }),
  });
}

/** What callers see of an upload that is, or was as they began to follow it, in progress; `manifest`: what it is so far, or became. */
export function toUploadingResult(manifest: Manifest): Result {
  const { key, tags, rowCount, sizeBytes, uploadId, description, createdBy } = manifest;
  const { problem, attributes, createTime } = manifest;
  return create(ResultSchema, {
    ...{ key, tags, rowCount, sizeBytes, uploadId, description, createdBy },
    state: ResultState.UPLOADING,
    ...(problem && { problem }),
    ...(attributes && { attributes }),
    ...(createTime && { createTime }),
  });
}

/** Whether the rows of all sets fit into an answer, beside a problem that a load's header has twice. */
function showsRows({ resultSets, problem }: Manifest): boolean {
  if (resultSets.length === 0) return true;
  const bytes = resultSets.reduce((sum, set) => sum + rowNumbersBytes(set.rows), 0);
  if (bytes > SHOWN_ROWS_BYTES_MAX) return false;
  return problem === undefined || encodedBytes(ProblemSchema, problem) <= SHOWN_PROBLEM_BYTES_MAX;
}
