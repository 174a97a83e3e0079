import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { CommitSpec, Upload } from '../backends/backend.js';

/** An upload after whose commit something is done; the commit's answer is what that gives. All else is the upload's own. */
export function afterCommit(upload: Upload, act: (manifest: Manifest) => Manifest | Promise<Manifest>): Upload {
  return withCommit(upload, async (spec) => act(await upload.commit(spec)));
}

/** An upload after each of whose syncs something is done; all else is the upload's own. */
export function afterSync(upload: Upload, act: () => void): Upload {
  const sync = async () => {
    const durable = await upload.sync();
    act();
    return durable;
  };
  return withWays(upload, { sync, commit: (spec) => upload.commit(spec) });
}

/** An upload that is committed in another way; all else is the upload's own. */
export function withCommit(upload: Upload, commit: (spec: CommitSpec) => Promise<Manifest>): Upload {
  return withWays(upload, { sync: () => upload.sync(), commit });
}

function withWays(upload: Upload, ways: Pick<Upload, 'sync' | 'commit'>): Upload {
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
    ...ways,
    [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose](),
  };
}
