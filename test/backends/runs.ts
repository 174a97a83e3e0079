import { create } from '@bufbuild/protobuf';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ProblemSchema, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import { Outcome, ReplicationMode } from '../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend, Upload, UploadSpec } from '../../server/backends/backend.js';
import type { Batch } from '../../server/rows/batch.js';
import { schemaOf } from '../../server/rows/batch.js';
import { gatherBatches } from '../../server/rows/gather.js';

/** For calls that nobody cancels. */
export const RUNNING: AbortSignal = new AbortController().signal;

/** Two float64 columns: x, and f = -x. */
export const LINE = create(ProblemSchema, {
  name: 'line',
  variables: [
    { name: 'x', role: VariableRole.DESIGN_VARIABLE, valueType: ValueType.FLOAT64 },
    { name: 'f', role: VariableRole.OBSERVABLE, valueType: ValueType.FLOAT64 },
  ],
});

/** Rows of LINE; x is the row's number times `factor`. */
export function lineRows(firstRow: number, rowCount: number, factor = 1): Batch {
  const x = Float64Array.from({ length: rowCount }, (_, i) => (firstRow + i) * factor);
  const columns = [x, x.map((value) => -value)].map((values) => ({
    values: new Uint8Array(values.buffer),
    offsets: undefined,
    validity: undefined,
  }));
  return { firstRow, rowCount, columns };
}

/** What an upload is opened with, unless a test says otherwise. */
export function uploadSpec(key: string, uploadId: string, more: Partial<UploadSpec> = {}): UploadSpec {
  return {
    ...{ key, uploadId, problem: LINE, tags: {}, attributes: undefined, description: '', expectedRevision: undefined },
    ...{ replication: ReplicationMode.NONE, append: false, createdBy: '' },
    ...more,
  };
}

/** Commits all that an upload has. */
export function commit(upload: Upload, rowCount = upload.nextRow): Promise<Manifest> {
  return upload.commit({ rowCount, outcome: Outcome.FINISHED, resultSets: [] });
}

let uploadNumber = 0;

/** Saves batches as a result. */
export async function save(
  backend: StorageBackend,
  key: string,
  batches: readonly Batch[],
  more: Partial<UploadSpec> = {},
): Promise<Manifest> {
  await using upload = await backend.openUpload(uploadSpec(key, `run-${uploadNumber++}`, more), RUNNING);
  for (const batch of batches) await upload.append(batch);
  return await commit(upload);
}

/** Rows of a result as one batch; undefined where none are selected. */
export async function load(
  backend: StorageBackend,
  manifest: Manifest,
  { columns, firstRow = 0, rowCount }: { columns?: number[]; firstRow?: number; rowCount?: number } = {},
): Promise<Batch | undefined> {
  const schema = schemaOf((manifest.problem as Problem).variables);
  const indices = columns ?? schema.map((_, i) => i);
  const selection = { columns: indices, firstRow, rowCount: rowCount ?? Number(manifest.rowCount) - firstRow };
  const batches: Batch[] = [];
  for await (const batch of backend.read(manifest, selection, RUNNING)) batches.push(batch);
  const selected = indices.map((i) => schema[i] ?? ValueType.UNSPECIFIED);
  return batches.length === 0 ? undefined : gatherBatches(selected, batches);
}

/** A batch with its bytes as text, for comparing: views and copies are the same then. */
export function asText(batch: Batch | undefined): unknown {
  if (batch === undefined) return undefined;
  const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex');
  const columns = batch.columns.map(({ values, offsets, validity }) => [text(values), text(offsets), text(validity)]);
  return { firstRow: batch.firstRow, rowCount: batch.rowCount, columns };
}

/** All of an async iterable. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
