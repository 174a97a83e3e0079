import { create } from '@bufbuild/protobuf';
import type { Result } from '../../proto/gen/optistore/v1/result_pb.js';
import type { RowBatch } from '../../proto/gen/optistore/v1/rows_pb.js';
import type { LoadHeader, LoadResultRequest, LocalBlocks } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { LoadResultRequestSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { schemaOf, type Column } from '../../server/rows/batch.js';
import { checkBatch } from '../../server/rows/check.js';
import { numbersFromBytes } from '../../server/rows/row-numbers/number-bytes.js';
import { concatColumns, viewable, viewColumn, type LoadedColumn } from '../../server/rows/columns.js';
import { sliceRows } from '../../server/rows/select.js';
import { cutBatch } from '../../server/rows/slice.js';
import type { Channel } from './channel.js';
import { GrpcCode, OptistoreError } from './errors.js';
import { LocalFiles, LocalFilesUnusable } from './local-files.js';
import { Backoff } from './retry.js';

/** Consecutive rows. */
export interface LoadedBatch {
  /** Number of the first row in the result; of a result set or a sample, its position in that. */
  readonly firstRow: number;
  readonly rowCount: number;
  /** By name, in the order asked for. Their numbers lie in one memory: who keeps one column for long copies it, by `slice()`. */
  readonly columns: Readonly<Record<string, LoadedColumn>>;
  /** Of a result set, and of a sample: the rows' numbers in the result. */
  readonly rowNumbers?: Float64Array;
}

interface RawBatch {
  readonly firstRow: number;
  readonly rowCount: number;
  readonly columns: readonly Column[];
  readonly rowNumbers: Uint8Array | undefined;
}

/** What happens to a reader, for those who want to know. */
export interface ReaderEvents {
  /** The stream broke and is about to be opened again. */
  onReconnect?(error: OptistoreError): void;
  /** The stream is open again after a break. */
  onReconnected?(): void;
  /** The daemon's files can't be read, or fail a checksum: rows are streamed from now on. */
  onLocalFilesUnusable?(error: Error): void;
}

/**
 * A load: iterate it once, batch by batch, or take `toColumns()`. A connection that breaks is made again, and the load goes
 * on where it was. One that follows a save gives rows as they are acked, and ends with its commit.
 */
export class ResultReader implements AsyncIterable<LoadedBatch> {
  /** Of a save that is followed: what it was committed as, once the iteration has come to its end. */
  committed: Result | undefined;
  private readonly headerKnown: Promise<LoadHeader>;
  private resolveHeader: (header: LoadHeader) => void = () => undefined;
  private rejectHeader: (error: unknown) => void = () => undefined;
  private known: LoadHeader | undefined;
  private nextRow: bigint | undefined;
  private end: bigint | undefined;
  private canReadFiles = true;
  private isBroken = false;

  constructor(
    private readonly channel: Channel,
    private readonly request: LoadResultRequest,
    private readonly retryMs: number,
    private readonly events: ReaderEvents = {},
  ) {
    this.headerKnown = new Promise((resolve, reject) => {
      this.resolveHeader = resolve;
      this.rejectHeader = reject;
    });
    this.headerKnown.catch(() => undefined);
  }

  /** The header; known once the iteration has begun. */
  header(): Promise<LoadHeader> {
    return this.headerKnown;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<LoadedBatch> {
    for await (const batch of this.batches()) {
      const variables = this.known?.variables ?? [];
      const own = viewable(batch.columns, variables);
      const columns = variables.map(
        (variable, i) => [variable.name, viewColumn(variable, own[i] as Column, batch.rowCount)] as const,
      );
      const { firstRow, rowCount, rowNumbers } = batch;
      yield {
        ...{ firstRow, rowCount, columns: Object.fromEntries(columns) },
        ...(rowNumbers && { rowNumbers: numbersFromBytes([rowNumbers]) }),
      };
    }
  }

  /** Loads all rows into one column a variable. */
  async toColumns(): Promise<{
    header: LoadHeader;
    columns: Record<string, LoadedColumn>;
    /** Of a result set, and of a sample: the rows' numbers in the result. */
    rowNumbers?: Float64Array;
  }> {
    const batches: RawBatch[] = [];
    for await (const batch of this.batches()) batches.push(batch);
    const header = await this.header();
    const columns = header.variables.map((variable, i) => {
      const parts = batches.map((batch) => ({ column: batch.columns[i] as Column, rowCount: batch.rowCount }));
      return [variable.name, concatColumns(variable, parts)] as const;
    });
    const numbers = batches.flatMap(({ rowNumbers }) => (rowNumbers === undefined ? [] : [rowNumbers]));
    return {
      ...{ header, columns: Object.fromEntries(columns) },
      ...(this.hasRowNumbers && { rowNumbers: numbersFromBytes(numbers) }),
    };
  }

  private async *batches(): AsyncGenerator<RawBatch> {
    const backoff = new Backoff(this.retryMs);
    for (;;) {
      try {
        for await (const batch of this.stream(() => backoff.succeeded())) yield batch;
        return;
      } catch (thrown) {
        if (thrown instanceof LocalFilesUnusable) {
          // The daemon's own stream tells what is really damaged, or gives another copy's rows.
          this.canReadFiles = false;
          this.events.onLocalFilesUnusable?.(thrown);
          continue;
        }
        const error = this.channel.explain(thrown);
        try {
          // Before the header nothing is under way: the caller is told at once.
          if (this.known === undefined || !(error.isRetryable || this.isForgotten(error))) throw error;
          this.isBroken = true;
          this.events.onReconnect?.(error);
          await backoff.failed(error);
        } catch (final) {
          this.rejectHeader(final);
          throw final;
        }
      }
    }
  }

  /** An upload without a durable row is forgotten with its daemon; its writer opens it again. */
  private isForgotten({ reason }: OptistoreError): boolean {
    const hadNoRows = this.known?.result?.rowCount === 0n && this.nextRow === this.known.firstRow;
    return this.request.follow && reason === 'UPLOAD_NOT_FOUND' && hadNoRows;
  }

  /** One call, from the row where the last one stopped. */
  private async *stream(succeeded: () => void): AsyncGenerator<RawBatch> {
    const call = this.channel.load({ ...this.remaining(), localFiles: this.request.localFiles && this.canReadFiles });
    await using files = new LocalFiles();
    let isWhole = false;
    try {
      for await (const { message } of call) {
        if (message.case === 'header') this.begin(message.value);
        else if (message.case === 'trailer') {
          isWhole = true;
          this.committed = message.value.result;
        } else if (message.case === 'batch') {
          succeeded();
          // Of a save that is followed, a batch without rows is a sign of life.
          if (message.value.rowCount > 0 || !this.request.follow) yield this.take(message.value);
        } else if (message.case === 'localBlocks') {
          succeeded();
          yield* this.takeLocal(files, message.value);
        }
      }
    } finally {
      call.cancel();
    }
    if (!isWhole || (!this.request.follow && this.nextRow !== this.end)) {
      throw new OptistoreError('The load ended before its last row.', GrpcCode.UNAVAILABLE, undefined, {});
    }
  }

  private remaining(): LoadResultRequest {
    if (this.known === undefined || this.nextRow === undefined || this.end === undefined) return this.request;
    if (this.request.follow) {
      const uploadId = this.known.result?.uploadId ?? this.request.uploadId;
      return create(LoadResultRequestSchema, { ...this.request, uploadId, firstRow: this.nextRow });
    }
    const revision = this.known.result?.revision;
    return create(LoadResultRequestSchema, {
      ...this.request,
      firstRow: this.nextRow,
      rowCount: this.end - this.nextRow,
      ...(revision === undefined ? {} : { revision }),
    });
  }

  private begin(header: LoadHeader): void {
    if (this.isBroken) this.events.onReconnected?.();
    this.isBroken = false;
    if (this.known === undefined) {
      this.nextRow = header.firstRow;
      this.end = header.firstRow + header.rowCount;
      this.known = header;
      this.resolveHeader(header);
    }
  }

  /** Rows of blocks, cut to those that are asked for. */
  private async *takeLocal(files: LocalFiles, told: LocalBlocks): AsyncGenerator<RawBatch> {
    const variables = this.known?.variables ?? [];
    const schema = schemaOf(variables);
    const columns = variables.map((_, index) => index);
    const { maxBatchBytes } = this.request;
    for await (const batch of files.read(told, variables)) {
      const firstRow = Number(this.nextRow);
      if (batch.firstRow > firstRow) throw this.outOfOrder(batch.firstRow);
      const rest = sliceRows(schema, batch, { columns, firstRow, rowCount: Number(this.end) - firstRow });
      if (rest === undefined) continue;
      for (const part of maxBatchBytes === 0 ? [rest] : cutBatch(schema, rest, maxBatchBytes)) {
        this.nextRow = BigInt(part.firstRow + part.rowCount);
        yield { ...part, rowNumbers: undefined };
      }
    }
  }

  /** Of a set, and of a sample, the rows are told by their numbers. */
  private get hasRowNumbers(): boolean {
    return this.request.resultSet !== '' || this.known?.sample !== undefined;
  }

  private outOfOrder(row: bigint | number): OptistoreError {
    const message = `Row ${row} came where row ${this.nextRow} is next.`;
    return new OptistoreError(message, GrpcCode.DATA_LOSS, undefined, {});
  }

  private take(wire: RowBatch): RawBatch {
    if (wire.firstRow !== this.nextRow) throw this.outOfOrder(wire.firstRow);
    const { rowNumbers } = wire;
    if (
      (rowNumbers !== undefined) !== this.hasRowNumbers ||
      (rowNumbers?.length ?? wire.rowCount * 8) !== wire.rowCount * 8
    )
      throw new OptistoreError(
        `The batch at row ${wire.firstRow} has ${rowNumbers?.length ?? 'no'} bytes of row numbers, which does not fit its ${wire.rowCount} rows.`,
        GrpcCode.DATA_LOSS,
        undefined,
        {},
      );
    const batch = checkBatch(schemaOf(this.known?.variables ?? []), wire);
    this.nextRow = wire.firstRow + BigInt(wire.rowCount);
    return { ...batch, rowNumbers };
  }
}
