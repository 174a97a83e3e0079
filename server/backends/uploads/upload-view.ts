import {
  UploadOutcome,
  type Manifest,
  type UploadRecord,
} from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { Outcome } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { Batch } from '../../rows/batch.js';
import type { Selection } from '../../rows/select.js';
import type { CommitSpec, UploadView } from '../backend.js';
import { endedError, unknownUpload } from './upload-errors.js';

/** Where the rows of an upload in progress are read. */
export interface UploadSource {
  /** Rows of the revision that it appends to. */
  base(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncIterable<Batch>;
  /** Rows of its own that are durable; fewer where it changes hands or ends meanwhile. */
  own(selection: Selection, signal: AbortSignal): AsyncIterable<Batch>;
}

/** What a commit of so many rows would say, if it were made now. */
export function soFar(durableRowCount: number): CommitSpec {
  return { rowCount: durableRowCount, outcome: Outcome.UNSPECIFIED, resultSets: [] };
}

/** The view of an upload in progress: `manifest` is what it would be so far, `base` the revision that it appends to. */
export function openView(manifest: Manifest, base: Manifest | undefined, source: UploadSource): UploadView {
  manifest.kind = RevisionKind.UNSPECIFIED;
  const durableRowCount = Number(manifest.rowCount);
  const baseRowCount = Number(base?.rowCount ?? 0);
  return {
    state: 'open',
    manifest,
    async *read({ columns, firstRow }, signal) {
      if (base !== undefined && firstRow < baseRowCount)
        yield* source.base(base, { columns, firstRow, rowCount: baseRowCount - firstRow }, signal);
      const from = Math.max(firstRow, baseRowCount);
      if (from < durableRowCount)
        yield* source.own({ columns, firstRow: from, rowCount: durableRowCount - from }, signal);
    },
  };
}

/** The view of an upload that is not, or no longer, in progress: its result, or the error for what became of it. */
export function endedView(uploadId: string, record: UploadRecord | undefined): UploadView {
  if (record === undefined) throw unknownUpload(uploadId);
  if (record.outcome !== UploadOutcome.COMMITTED || record.committed === undefined) throw endedError(record);
  return { state: 'committed', manifest: record.committed };
}
