import { setImmediate } from 'node:timers/promises';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import { Outcome, type Result, type ResultSet } from '../../proto/gen/optistore/v1/result_pb.js';
import type { SaveOpen, SaveResultRequest } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { SaveResultRequestSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { Batch, Schema } from '../../server/rows/batch.js';
import { BatchBuilder } from '../../server/rows/batch-builder.js';
import { batchBytes, schemaOf } from '../../server/rows/batch.js';
import { encodeColumns, type ColumnInput } from '../../server/rows/columns.js';
import { encodeEnvelopedBatch } from '../../server/rows/envelope-codec.js';
import { EncodedMessage } from '../../server/rows/message-codec.js';
import { resultSetsOf, type GivenSet } from '../../server/rows/row-numbers/given-rows.js';
import { cutBatch } from '../../server/rows/slice.js';
import { toRowBatch } from '../../server/rows/wire.js';
import { MESSAGE_BYTES, type Channel } from './channel.js';
import { GrpcCode, OptistoreError } from './errors.js';
import type { SaveStream } from './link.js';
import { Backoff } from './retry.js';
import { UnackedRows } from './unacked-rows.js';

/** Bytes of rows that may wait for their ack; `append` waits beyond. */
const UNACKED_BYTES_MAX = 32 * 1024 * 1024;
/** Bytes of rows that may wait for a stream that takes them: with more, many writers of a process would only take up memory. */
const UNSENT_BYTES_MAX = 2 * MESSAGE_BYTES;
/** Rows that have at least so many bytes are a message by themselves: what is gathered is copied once more. */
const GATHER_BYTES_MAX = MESSAGE_BYTES / 8;

/** What happens to a writer, for those who want to know. */
export interface WriterEvents {
  /** Rows that are durable, whenever the number has grown. */
  onAck?(durableRowCount: number): void;
  /** The stream broke and is about to be opened again. */
  onReconnect?(error: OptistoreError): void;
  /** The stream is open again after a break. */
  onReconnected?(): void;
}

type Wish = { kind: 'flush' } | { kind: 'commit'; outcome: Outcome; resultSets: readonly ResultSet[] };

/**
 * Saves a run while it is computed. Keeps what is not acked; when the connection or the daemon breaks it
 * reconnects, opens the upload again, and goes on at the row that the daemon asks for.
 */
export class ResultWriter implements AsyncDisposable {
  /** The result, once committed; set from the beginning when the upload was committed before. */
  committed: Result | undefined;
  private readonly unacked = new UnackedRows();
  /** Rows behind those of `unacked` that wait for company. */
  private waiting: BatchBuilder | undefined;
  private readonly schema: Schema;
  private appendedRows = 0;
  private acked = 0;
  private wish: Wish | undefined;
  private failure: OptistoreError | undefined;
  private closed = false;
  private readonly backoff: Backoff;
  private changed: (() => void)[] = [];
  private running: Promise<void> | undefined;
  private wakeSender: (() => void) | undefined;

  constructor(
    private readonly channel: Channel,
    private readonly open: SaveOpen,
    private readonly events: WriterEvents,
    retryMs: number,
  ) {
    this.backoff = new Backoff(retryMs);
    this.schema = schemaOf(open.problem?.variables ?? []);
  }

  /** The upload's id: with it the run is resumed after a restart of the solver. */
  get uploadId(): string {
    return this.open.uploadId;
  }

  /** The row that the next append begins with; after a resume, the number of durable rows. */
  get nextRow(): number {
    return this.appendedRows;
  }

  /** Rows that survive a crash of everything. */
  get durableRowCount(): number {
    return this.acked;
  }

  /** Opens the stream; for `createClient` only. */
  async begin(): Promise<this> {
    this.run();
    await this.until(() => this.wasOpened);
    return this;
  }

  /**
   * Adds rows: for each variable a column of equal length. Resolves when there is room for more; the rows are
   * durable by the next ack, flush or commit. RangeError or TypeError where a column does not fit.
   */
  async append(columns: Readonly<Record<string, ColumnInput>>): Promise<void> {
    this.check();
    if (this.committed !== undefined)
      throw new OptistoreError(
        `Upload ${this.uploadId} is committed and takes no more rows.`,
        GrpcCode.FAILED_PRECONDITION,
        'UPLOAD_COMMITTED',
        {},
      );
    if (this.wish?.kind === 'commit') throw new Error('the commit is under way: it takes no more rows');
    const { variables } = this.open.problem as Problem;
    const { rowCount, columns: encoded } = encodeColumns(variables, columns);
    if (rowCount === 0) return;
    const before = this.unacked.count;
    this.keep({ firstRow: this.appendedRows, rowCount, columns: encoded });
    this.appendedRows += rowCount;
    this.run();
    // Who appends in a loop would else send nothing, nor anyone else in the process, until it is full.
    if (this.unacked.count > before) await setImmediate();
    if (!this.hasRoom) await this.until(() => this.hasRoom);
  }

  private get hasRoom(): boolean {
    const { unacked, waiting } = this;
    if (unacked.byteLength + (waiting?.byteLength ?? 0) > UNACKED_BYTES_MAX) return false;
    // While no stream takes them, rows are kept as far as they may.
    return !this.opened || unacked.unsentBytes <= UNSENT_BYTES_MAX;
  }

  /** Small batches that come before the next message is sent go together; large ones are cut. All are copied. */
  private keep(batch: Batch): void {
    const byteLength = batchBytes(batch);
    if (byteLength < GATHER_BYTES_MAX) {
      this.waiting ??= new BatchBuilder(this.schema, batch.firstRow);
      this.waiting.add(batch, byteLength);
      if (this.waiting.byteLength >= MESSAGE_BYTES) this.closeWaiting();
      return;
    }
    this.closeWaiting();
    for (const part of cutBatch(this.schema, batch, MESSAGE_BYTES)) this.encode(part);
  }

  private closeWaiting(): void {
    if (this.waiting === undefined) return;
    this.encode(this.waiting.build());
    this.waiting = undefined;
  }

  private encode(batch: Batch): void {
    const { variables } = this.open.problem as Problem;
    const bytes = encodeEnvelopedBatch(toRowBatch(batch, variables), (byteLength) =>
      this.channel.memory.take(byteLength),
    );
    const message = new EncodedMessage(bytes);
    this.unacked.push({ endRow: batch.firstRow + batch.rowCount, byteLength: batchBytes(batch), message });
  }

  /** Resolves, with their number, when all rows appended so far are durable. */
  async flush(): Promise<number> {
    this.check();
    const rows = this.appendedRows;
    if (this.acked < rows) {
      this.wish ??= { kind: 'flush' };
      this.run();
      await this.until(() => this.acked >= rows);
    }
    return this.acked;
  }

  /** Ends the run and makes it a result, with named subsets of its rows where given. Idempotent. */
  async commit(options: { outcome?: Outcome; resultSets?: readonly GivenSet[] } = {}): Promise<Result> {
    this.check();
    if (this.committed === undefined) {
      const resultSets = resultSetsOf(options.resultSets ?? []);
      this.wish = { kind: 'commit', outcome: options.outcome ?? Outcome.FINISHED, resultSets };
      this.run();
      await this.until(() => this.committed !== undefined);
    }
    return this.committed as unknown as Result;
  }

  /**
   * Lets go of the upload without committing it: what was appended is made durable, and it can be resumed. OptistoreError where it can't
   * be, and nothing said so before.
   */
  async close(): Promise<void> {
    if (this.closed) return;
    try {
      if (this.failure === undefined && this.committed === undefined) await this.flush();
    } finally {
      this.closed = true;
      this.notify();
      await this.running;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure;
    if (this.closed) throw new Error('the writer is closed');
  }

  private async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      this.check();
      await new Promise<void>((resolve) => this.changed.push(resolve));
    }
  }

  private notify(): void {
    for (const wake of this.changed.splice(0)) wake();
    this.wakeSender?.();
  }

  private get hasWork(): boolean {
    return this.wish !== undefined || this.waiting !== undefined || this.unacked.hasUnsent;
  }

  /** Sees to it that a stream runs. One that ended as idle is opened again only now, when there is something to send. */
  private run(): void {
    this.wakeSender?.();
    this.running ??= this.runStreams()
      .catch((error: unknown) => {
        this.failure = this.channel.explain(error);
      })
      .finally(() => {
        this.running = undefined;
        this.notify();
      });
  }

  private async runStreams(): Promise<void> {
    for (;;) {
      try {
        await this.runStream();
        return;
      } catch (thrown) {
        const error = this.channel.explain(thrown);
        // Before the first answer nothing is under way: the caller is told at once.
        if (!error.isRetryable || this.closed || !this.wasOpened) throw error;
        this.unacked.sendAgain();
        this.commitSent = false;
        if (error.reason === 'STREAM_IDLE' && !this.hasWork && this.unacked.count === 0) return;
        this.isBroken = true;
        this.events.onReconnect?.(error);
        await this.backoff.failed(this.withHint(error));
      }
    }
  }

  private withHint(error: OptistoreError): OptistoreError {
    const hint = ` ${this.acked} rows are safe; resume with upload id ${this.uploadId}.`;
    return new OptistoreError(error.message + hint, error.code, error.reason, error.metadata, { cause: error });
  }

  private async runStream(): Promise<void> {
    const stream = this.channel.save();
    // Read from the beginning: an error event without a reader would end the process.
    const received = this.receive(stream);
    try {
      stream.write(request({ case: 'open', value: this.open }));
      await Promise.race([received, this.send(stream)]);
      // Closed without a commit: all that was flushed is durable, and the daemon keeps the upload open.
      if (this.closed && this.committed === undefined) return;
      stream.end();
      await received;
    } finally {
      this.wakeSender?.();
      stream.cancel();
      await received.catch(() => undefined);
    }
  }

  private opened = false;
  private wasOpened = false;
  private isBroken = false;

  private async receive(stream: SaveStream): Promise<void> {
    this.opened = false;
    try {
      for await (const response of stream) {
        const { message } = response;
        if (message.case === 'opened') this.resumeAt(Number(message.value.nextRow), message.value.committed);
        else if (message.case === 'ack') this.ackTo(Number(message.value.durableRowCount));
        else if (message.case === 'committed') this.finish(message.value.result);
      }
    } finally {
      this.opened = false;
      this.notify();
    }
  }

  private resumeAt(nextRow: number, committed: Result | undefined): void {
    if (nextRow < this.acked) {
      throw new OptistoreError(
        `The daemon has ${nextRow} rows of upload ${this.uploadId}, but had acknowledged ${this.acked}: its data was lost or replaced.`,
        GrpcCode.DATA_LOSS,
        undefined,
        {},
      );
    }
    // After the first answer nobody else adds rows, but who has opened the upload meanwhile.
    const sentTo = Math.max(this.unacked.sentTo, this.acked);
    if (this.wasOpened && nextRow > sentTo) {
      throw new OptistoreError(
        `Upload ${this.uploadId} has ${nextRow} rows, where this writer has sent ${sentTo}: another one has taken it over.`,
        GrpcCode.ABORTED,
        'UPLOAD_TAKEN_OVER',
        {},
      );
    }
    this.appendedRows = Math.max(this.appendedRows, nextRow);
    this.ackTo(nextRow);
    this.unacked.sendAgain();
    this.opened = true;
    this.wasOpened = true;
    if (this.isBroken) this.events.onReconnected?.();
    this.isBroken = false;
    // One that is opened for rows may break on them, each time.
    if (!this.hasWork) this.backoff.succeeded();
    if (committed !== undefined && this.wish?.kind !== 'commit') this.takeCommitted(nextRow, committed);
    this.notify();
  }

  /** It was committed before: by this run, or by another that took the upload over. */
  private takeCommitted(rowCount: number, committed: Result): void {
    if (this.appendedRows > rowCount) {
      throw new OptistoreError(
        `Upload ${this.uploadId} was committed elsewhere with ${rowCount} rows: ${this.appendedRows - rowCount} that were appended here are not in it.`,
        GrpcCode.FAILED_PRECONDITION,
        'UPLOAD_COMMITTED',
        {},
      );
    }
    this.committed = committed;
  }

  private ackTo(rows: number): void {
    if (rows > this.acked) {
      this.acked = rows;
      this.backoff.succeeded();
      // The daemon has it: it was copied into its frame.
      for (const message of this.unacked.ackTo(rows)) this.channel.memory.give(message.bytes);
      this.events.onAck?.(rows);
    }
    this.notify();
  }

  private finish(result: Result | undefined): void {
    this.committed = result;
    this.wish = undefined;
    this.ackTo(this.appendedRows);
  }

  /** Sends what is there, at the pace of the daemon, until the run is committed or closed. */
  private async send(stream: SaveStream): Promise<void> {
    while (this.committed === undefined && !this.closed) {
      const next = this.opened ? this.nextRequest() : undefined;
      if (next === undefined) await new Promise<void>((resolve) => (this.wakeSender = resolve));
      else if (!stream.write(next)) await stream.drained();
      // A turn of the event loop, in which rows that are appended one by one come together.
      else if (next instanceof EncodedMessage) await setImmediate();
      if (stream.destroyed) return;
    }
  }

  private nextRequest(): SaveResultRequest | EncodedMessage | undefined {
    const rows = this.nextRows();
    if (rows !== undefined) return rows;
    if (this.wish?.kind === 'flush') {
      this.wish = undefined;
      return request({ case: 'flush', value: {} });
    }
    if (this.wish?.kind === 'commit' && !this.commitSent) {
      this.commitSent = true;
      const { outcome } = this.wish;
      const resultSets = [...this.wish.resultSets];
      return request({ case: 'commit', value: { rowCount: BigInt(this.appendedRows), outcome, resultSets } });
    }
    return undefined;
  }

  private commitSent = false;

  private nextRows(): EncodedMessage | undefined {
    if (!this.unacked.hasUnsent) this.closeWaiting();
    const next = this.unacked.next();
    if (this.changed.length > 0 && this.hasRoom) this.notify();
    return next;
  }
}

function request(message: MessageInitShape<typeof SaveResultRequestSchema>['message']): SaveResultRequest {
  return create(SaveResultRequestSchema, { message: message as never });
}
