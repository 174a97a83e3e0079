import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Result } from '../../proto/gen/optistore/v1/result_pb.js';
import { ResultSchema, ResultState, ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import type { Upload as WireUpload } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { UploadSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { UploadState } from '../backends/backend.js';

/** What the wire shows of a manifest. */
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

/** What the wire shows of an upload. */
export function toUpload(state: UploadState): WireUpload {
  return create(UploadSchema, {
    uploadId: state.uploadId,
    key: state.key,
    durableRowCount: BigInt(state.durableRowCount),
    createTime: timestampFromMs(state.createTimeMs),
    updateTime: timestampFromMs(state.updateTimeMs),
    hasStream: state.hasStream,
    ...(state.expireTimeMs === undefined ? {} : { expireTime: timestampFromMs(state.expireTimeMs) }),
  });
}
