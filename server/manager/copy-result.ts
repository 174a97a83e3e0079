import { randomUUID } from 'node:crypto';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ColumnSummary } from '../../proto/gen/optistore/v1/result_pb.js';
import { ReplicationMode, ReplicationState } from '../../proto/gen/optistore/v1/result_pb.js';
import type { Upload } from '../backends/backend.js';
import { StorageError, throwIfCancelled } from '../errors.js';
import { RunSummary } from '../rows/summary.js';
import type { StorageManager } from './storage-manager.js';
import { tellProgress } from './tell-progress.js';
import { checkKey, invalid } from './validate.js';

/** What to copy, and where to: see CopyResultRequest. */
export interface CopySpec {
  readonly key: string;
  /** Undefined: the newest. */
  readonly revision: number | undefined;
  readonly toKey: string;
  /** The revision of `toKey` that is replaced; 0: it must not exist. */
  readonly expectedRevision: number;
  readonly removeSource: boolean;
  /** See UploadSpec. */
  readonly createdBy: string;
}

/** How far a copy is. */
export interface CopyProgress {
  readonly copiedRowCount: number;
  readonly rowCount: number;
  /** The copy, at the end. */
  readonly copy?: Manifest;
}

/**
 * Copies a result to another key, with its metadata and result sets, or renames it; tells at least every second how far it
 * is. The rows are checked against the source's checksums before they become visible, and once more as they were written
 * before the source is removed. One that is broken off leaves nothing behind. RESULT_NOT_FOUND, REVISION_NOT_FOUND,
 * REVISION_MISMATCH, RESULT_CORRUPT.
 */
export async function* copyResult(
  manager: StorageManager,
  spec: CopySpec,
  signal: AbortSignal,
): AsyncGenerator<CopyProgress> {
  checkKey(spec.toKey);
  if (spec.key === spec.toKey) throw invalid(`key and to_key are both "${spec.key}"; a copy needs a key of its own`);
  const source = await manager.stat(spec.key, spec.revision, signal);
  if (spec.removeSource) await checkNewest(manager, source, signal);
  const copying = new Copying(manager, source, spec);
  const copied = async function* (running: AbortSignal): AsyncGenerator<CopyProgress> {
    const copy = await copying.run(running);
    yield { ...copying.progress, copy };
  };
  yield* tellProgress(copied, () => copying.progress, 'The copy was broken off.', signal);
}

async function checkNewest(manager: StorageManager, source: Manifest, signal: AbortSignal): Promise<void> {
  const newest = await manager.stat(source.key, undefined, signal);
  if (newest.revision === source.revision) return;
  throw new StorageError(
    'REVISION_MISMATCH',
    `"${source.key}" is at revision ${newest.revision}, not ${source.revision}: an older revision can be copied, but not moved.`,
    { metadata: { revision: String(newest.revision) } },
  );
}

/** A copy on its way. */
class Copying {
  private copiedRowCount = 0;
  private readonly rowCount: number;

  constructor(
    private readonly manager: StorageManager,
    private readonly source: Manifest,
    private readonly spec: CopySpec,
  ) {
    this.rowCount = Number(source.rowCount);
  }

  get progress(): CopyProgress {
    const { copiedRowCount, rowCount } = this;
    return { copiedRowCount, rowCount };
  }

  async run(signal: AbortSignal): Promise<Manifest> {
    const copy = await this.copy(signal);
    checkSameRows(this.source, copy.columns, copy.key);
    if (this.spec.removeSource) await this.removeSource(copy, signal);
    return copy;
  }

  private async copy(signal: AbortSignal): Promise<Manifest> {
    const { source, spec } = this;
    const uploadId = randomUUID();
    const upload = await this.manager.openUpload(
      {
        key: spec.toKey,
        uploadId,
        problem: source.problem,
        tags: source.tags,
        attributes: source.attributes,
        description: source.description,
        expectedRevision: spec.expectedRevision,
        replication: replicationOf(source),
        append: false,
        createdBy: spec.createdBy,
      },
      signal,
    );
    try {
      await this.copyRows(upload, signal);
      const { rowCount } = this;
      return await upload.commit({ rowCount, outcome: source.outcome, resultSets: source.resultSets });
    } catch (error) {
      // The caller's signal may be what ended it; the half copy goes all the same. What it failed by is told, not this.
      await this.manager.abortUpload(uploadId, new AbortController().signal).catch(() => undefined);
      throw error;
    } finally {
      await upload[Symbol.asyncDispose]();
    }
  }

  private async copyRows(upload: Upload, signal: AbortSignal): Promise<void> {
    const { source, rowCount } = this;
    const variables = source.problem?.variables ?? [];
    const summary = new RunSummary(variables);
    const columns = variables.map((_, index) => index);
    if (rowCount > 0) {
      for await (const batch of this.manager.read(source, { columns, firstRow: 0, rowCount }, signal)) {
        throwIfCancelled(signal);
        summary.add(batch);
        await upload.append(batch);
        this.copiedRowCount += batch.rowCount;
      }
    }
    checkSameRows(source, summary.summaries(), upload.key);
  }

  private async removeSource(copy: Manifest, signal: AbortSignal): Promise<void> {
    const { source } = this;
    try {
      await this.manager.delete(source.key, Number(source.revision), signal);
    } catch (error) {
      if (!(error instanceof StorageError) || error.reason !== 'REVISION_MISMATCH') throw error;
      throw new StorageError(
        'REVISION_MISMATCH',
        `"${source.key}" was changed while revision ${source.revision} was copied, and is kept. The copy is "${copy.key}", revision ${copy.revision}: ` +
          'delete it and move again, or keep both.',
        { cause: error, metadata: { ...error.metadata, copy_revision: String(copy.revision) } },
      );
    }
  }
}

/** A copy of a replicated result is replicated. */
function replicationOf({ replication }: Manifest): ReplicationMode {
  const isReplicated = replication !== ReplicationState.UNSPECIFIED && replication !== ReplicationState.NONE;
  return isReplicated ? ReplicationMode.ASYNC : ReplicationMode.NONE;
}

/** Refuses rows whose checksums are not the source's: RESULT_CORRUPT. */
function checkSameRows(source: Manifest, copied: readonly ColumnSummary[], toKey: string): void {
  const differs = source.columns.find((column, i) => {
    const copy = copied[i];
    return (
      column.valuesCrc32 !== copy?.valuesCrc32 ||
      column.validityCrc32 !== copy.validityCrc32 ||
      column.lengthsCrc32 !== copy.lengthsCrc32
    );
  });
  if (differs === undefined) return;
  throw new StorageError(
    'RESULT_CORRUPT',
    `Column "${differs.name}" of "${source.key}", revision ${source.revision}, has not arrived at "${toKey}" as it was committed: its checksum differs. The source is kept.`,
  );
}
