import { create } from '@bufbuild/protobuf';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Result } from '../../proto/gen/optistore/v1/result_pb.js';
import { ResultSchema, ResultState, ResultView } from '../../proto/gen/optistore/v1/result_pb.js';

/** What callers see of a manifest. */
export function toResult(manifest: Manifest, view: ResultView): Result {
  const { key, revision, tags, rowCount, sizeBytes, uploadId, outcome, description } = manifest;
  const { problem, attributes, createTime, commitTime, updateTime } = manifest;
  return create(ResultSchema, {
    ...{ key, revision, tags, rowCount, sizeBytes, uploadId, outcome, description },
    state: ResultState.COMMITTED,
    columns: view === ResultView.FULL ? manifest.columns : [],
    ...(problem && { problem }),
    ...(attributes && { attributes }),
    ...(createTime && { createTime }),
    ...(commitTime && { commitTime }),
    ...(updateTime && { updateTime }),
  });
}
