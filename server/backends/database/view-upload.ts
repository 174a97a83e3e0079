import { create } from '@bufbuild/protobuf';
import { ManifestSchema, SegmentSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ValueType } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { throwIfCancelled } from '../../errors.js';
import { schemaOf, type Batch, type Schema } from '../../rows/batch.js';
import { sliceRows, type Selection } from '../../rows/select.js';
import type { UploadView } from '../backend.js';
import { unknownUpload } from '../uploads/upload-errors.js';
import { endedView, openView, soFar, type UploadSource } from '../uploads/upload-view.js';
import { manifestOf } from '../uploads/uploads.js';
import { blockAt, decodeBlock, readRevision } from './blocks.js';
import type { Database } from './database.js';
import { checkedUpload, recordOf, type UploadRow } from './upload-table.js';

/** StorageBackend.viewUpload: also of an upload whose stream is at another daemon. Nothing is locked. */
export async function viewUpload(
  database: Database,
  base: UploadSource['base'],
  uploadId: string,
): Promise<UploadView> {
  const row = await findRow(database, uploadId);
  if (row === undefined) throw unknownUpload(uploadId);
  const record = recordOf(row);
  if (record.copyOf !== undefined) throw unknownUpload(uploadId);
  if (row.outcome !== 'OPEN') return endedView(uploadId, record);
  const schema = schemaOf(record.problem?.variables ?? []);
  return openView(manifestOf(record, soFar(Number(row.row_count))), record.base, {
    base,
    own: (selection, signal) => readOpen(database, row, schema, selection, signal),
  });
}

function findRow(database: Database, uploadId: string): Promise<UploadRow | undefined> {
  return database.query(async (connection) => {
    const row: unknown = await connection('uploads').where({ upload_id: uploadId }).first();
    return checkedUpload(row as UploadRow | undefined);
  });
}

/**
 * Streams rows of an upload, a block at a time; loose ones are found and read by one statement, as they are gathered
 * into others meanwhile. Ends early where the upload has ended: its rows may be gone.
 */
async function* readOpen(
  database: Database,
  row: UploadRow,
  schema: Schema,
  selection: Selection,
  signal: AbortSignal,
): AsyncGenerator<Batch> {
  const end = selection.firstRow + selection.rowCount;
  for (let at = selection.firstRow; at < end;) {
    throwIfCancelled(signal);
    try {
      const rest = { ...selection, firstRow: at, rowCount: end - at };
      for await (const batch of readNextBlock(database, Number(row.segment_id), schema, rest, signal)) {
        at = batch.firstRow + batch.rowCount;
        yield batch;
      }
    } catch (error) {
      throwIfCancelled(signal);
      if ((await findRow(database, row.upload_id))?.outcome !== 'OPEN') return;
      throw error;
    }
  }
}

/** The selected rows of the block that has the first of them. */
async function* readNextBlock(
  database: Database,
  segmentId: number,
  schema: Schema,
  selection: Selection,
  signal: AbortSignal,
): AsyncGenerator<Batch> {
  const { columns, firstRow } = selection;
  const withBytes = columns.length === schema.length ? 'always' : 'of a loose one';
  const { block, bytes } = await database.query((connection) => blockAt(connection, segmentId, firstRow, withBytes));
  const rowCount = Math.min(selection.rowCount, block.firstRow + block.rowCount - firstRow);
  if (bytes === undefined) {
    // It is in its final form: of some columns only their bytes are read.
    const segment = create(SegmentSchema, {
      ...{ name: String(segmentId), firstRow: BigInt(block.firstRow), rowCount: BigInt(block.rowCount) },
    });
    const settled = create(ManifestSchema, { segments: [segment] });
    yield* readRevision(database, settled, { columns, firstRow, rowCount }, schema, signal);
    return;
  }
  const chosen = columns.map((index) => schema[index] ?? ValueType.UNSPECIFIED);
  const part = sliceRows(chosen, decodeBlock(bytes, segmentId, block, columns), { columns, firstRow, rowCount });
  if (part !== undefined) yield part;
}
