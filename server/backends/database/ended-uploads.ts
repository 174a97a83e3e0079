import { create } from '@bufbuild/protobuf';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import { UploadOutcome, UploadRecordSchema } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { UPLOAD_MEMORY_MS } from '../../limits.js';
import type { UploadState } from '../backend.js';
import { endedError, unknownUpload } from '../uploads/upload-errors.js';
import type { Database } from './database.js';
import { endUpload, type DatabaseUploads } from './database-uploads.js';
import { markRemoved } from './retention.js';
import { findUnchecked, recordOf, rememberEnded, uploadChecks, type UploadRow } from './upload-table.js';

const CHUNK = 256;

/** How uploads end without a result, and which there are. */
export class EndedUploads {
  constructor(
    private readonly database: Database,
    private readonly uploads: DatabaseUploads,
    private readonly ttlMs: number,
  ) {}

  /** Ends an upload without a result; its rows are removed by the next sweep. UPLOAD_NOT_FOUND, UPLOAD_COMMITTED. */
  async end(uploadId: string, outcome: 'ABORTED' | 'EXPIRED'): Promise<void> {
    // Not within the upload's serial: who still sends is stopped first.
    const entry = this.uploads.held.get(uploadId);
    const { key } = entry?.rows.record ?? { key: '' };
    const common = { uploadId, outcome: UploadOutcome[outcome], updateTime: timestampNow() };
    entry?.holder?.fence(endedError(create(UploadRecordSchema, { ...common, key })));
    await this.uploads.ids.run(uploadId, async () => {
      await this.database.transact(async (connection) => {
        const row = await findUnchecked(connection, uploadId);
        if (row === undefined) throw unknownUpload(uploadId);
        const record = create(UploadRecordSchema, { ...common, key: row.key });
        // Which rows are its own can't be told of one that is damaged: they stay.
        if (!uploadChecks(row)) return rememberEnded(connection, record);
        if (row.outcome === 'ABORTED') return;
        if (row.outcome !== 'OPEN') throw endedError(recordOf(row));
        // Someone took it up since it was found to be over.
        if (outcome === 'EXPIRED' && Number(row.held_until_ms) > Date.now()) return;
        await endUpload(connection, row, record, outcome);
        await markRemoved(connection, [Number(row.segment_id)]);
      });
      await this.uploads.held.get(uploadId)?.rows.close();
      this.uploads.held.delete(uploadId);
    });
  }

  /** Ends uploads whose time is over, and forgets those that ended long ago. */
  async expire(nowMs: number): Promise<void> {
    const over = await this.database.query((connection) =>
      connection('uploads')
        .where({ outcome: 'OPEN' })
        .andWhere('update_time_ms', '<', nowMs - this.ttlMs)
        .andWhere('held_until_ms', '<=', Date.now())
        .select<UploadRow[]>(),
    );
    // One that is damaged says when its time is over no more than anything else: it waits for who aborts it.
    for (const { upload_id: uploadId } of over.filter(uploadChecks))
      if (!this.uploads.held.has(uploadId)) await this.end(uploadId, 'EXPIRED');
    await this.database.query((connection) =>
      connection('uploads')
        .whereIn('outcome', ['ABORTED', 'EXPIRED'])
        .andWhere('update_time_ms', '<', nowMs - UPLOAD_MEMORY_MS)
        .delete(),
    );
  }

  /** Uploads in order of id, but for those that are damaged: who opens or views one is told. */
  async *list(query: { prefix: string; after?: string }): AsyncGenerator<UploadState> {
    let after = query.after ?? '';
    for (;;) {
      const chunk = await this.database.query((connection) =>
        connection('uploads')
          .where({ outcome: 'OPEN', is_copy: false })
          .andWhere('upload_id', '>', after)
          .orderBy('upload_id')
          .limit(CHUNK)
          .select<UploadRow[]>(),
      );
      for (const row of chunk) {
        after = row.upload_id;
        if (uploadChecks(row) && row.key.startsWith(query.prefix)) yield this.stateOf(row);
      }
      if (chunk.length < CHUNK) return;
    }
  }

  private stateOf(row: UploadRow): UploadState {
    const held = this.uploads.held.get(row.upload_id);
    const hasStream = held?.holder !== undefined || Number(row.held_until_ms) > Date.now();
    const updateTimeMs = Number(row.update_time_ms);
    return {
      ...{ uploadId: row.upload_id, key: row.key, durableRowCount: Number(row.row_count), updateTimeMs, hasStream },
      ...{ createTimeMs: Number(row.create_time_ms), createdBy: row.created_by },
      expireTimeMs: hasStream ? undefined : updateTimeMs + this.ttlMs,
    };
  }

  /** Bytes and number of uploads that are not committed: there are at most OPEN_UPLOADS_MAX. */
  async totals(): Promise<{ sizeBytes: number; uploadCount: number }> {
    const rows = (await this.database.query((connection) =>
      connection('uploads')
        .where({ outcome: 'OPEN' })
        .groupBy('is_copy')
        .select('is_copy')
        .sum({ size: 'size_bytes' })
        .count({ count: '*' }),
    )) as unknown as { is_copy: boolean | number; size: number | string; count: number | string }[];
    let sizeBytes = 0;
    let uploadCount = 0;
    for (const { is_copy, size, count } of rows) {
      sizeBytes += Number(size);
      if (!is_copy) uploadCount += Number(count);
    }
    return { sizeBytes, uploadCount };
  }
}
