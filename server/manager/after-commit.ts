import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Upload } from '../backends/backend.js';

/** An upload after whose commit, and after each of whose syncs, something is done; all else is the upload's own. */
export function afterCommit(
  upload: Upload,
  act: (manifest: Manifest) => void,
  afterSync: () => void = () => undefined,
): Upload {
  return {
    get uploadId() {
      return upload.uploadId;
    },
    get key() {
      return upload.key;
    },
    get problem() {
      return upload.problem;
    },
    get replication() {
      return upload.replication;
    },
    get committed() {
      return upload.committed;
    },
    get lost() {
      return upload.lost;
    },
    get nextRow() {
      return upload.nextRow;
    },
    get durableRowCount() {
      return upload.durableRowCount;
    },
    append: (batch) => upload.append(batch),
    async sync() {
      const durable = await upload.sync();
      afterSync();
      return durable;
    },
    async commit(spec) {
      const manifest = await upload.commit(spec);
      act(manifest);
      return manifest;
    },
    [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose](),
  };
}
