import { randomUUID } from 'node:crypto';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import type { RowBatch } from '../../proto/gen/optistore/v1/rows_pb.js';
import type {
  SaveCommit,
  SaveOpen,
  SaveResultRequest,
  SaveResultResponse,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { SaveResultResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { Upload } from '../backends/backend.js';
import { StorageError, toStorageError } from '../errors.js';
import { ACK_BYTES_MAX, ACK_DELAY_MS } from '../limits.js';
import type { StorageManager } from '../manager/storage-manager.js';
import { checkedNumber } from '../manager/validate.js';
import type { Schema } from '../rows/batch.js';
import { batchBytes, schemaOf } from '../rows/batch.js';
import { checkBatch } from '../rows/check.js';
import { sliceBatch } from '../rows/slice.js';
import { toResult } from '../manager/result-view.js';
import { roleOf } from './convert.js';
import { InterruptibleRequests } from './interruptible-requests.js';
import { ResponseQueue } from './response-queue.js';
import type { CallContext } from './service.js';

/** What a save stream is told by the daemon. */
export interface SaveStreamOptions {
  /** A stream without a message for this long ends with STREAM_IDLE. */
  readonly streamIdleTimeoutMs: number;
}

/** SaveResult: see its comment in the contract. */
export async function* saveStream(
  manager: StorageManager,
  requests: AsyncIterable<SaveResultRequest>,
  context: CallContext,
  options: SaveStreamOptions,
): AsyncGenerator<SaveResultResponse> {
  const stream = new SaveStream(manager, new InterruptibleRequests(requests, options.streamIdleTimeoutMs), context);
  const served = stream.serve();
  let isTold = false;
  try {
    yield* stream.responses;
    isTold = true;
  } finally {
    // The client may have gone while the queue was being read. Of one that was told all, an error would be made for nobody.
    if (!isTold) stream.stop(new StorageError('CANCELLED', 'The client went away.'));
    await served;
  }
}

/** One SaveResult stream: reads requests, and answers into `responses` while it reads on. */
class SaveStream {
  readonly responses = new ResponseQueue<SaveResultResponse>();
  private upload: Upload | undefined;
  private isAppend = false;
  private schema: Schema = [];
  private unsyncedBytes = 0;
  private ackTimer: NodeJS.Timeout | undefined;
  private syncing: Promise<void> | undefined;
  private syncAgain = false;

  constructor(
    private readonly manager: StorageManager,
    private readonly requests: InterruptibleRequests<SaveResultRequest>,
    private readonly context: CallContext,
  ) {}

  /** Serves to the end, whichever; never rejects. */
  async serve(): Promise<void> {
    const stopDrain = onAbort(this.context.draining, () => this.stop(shuttingDown()));
    const stopGone = onAbort(this.context.signal, () => this.stop(wentAway(this.context.signal)));
    try {
      await this.serveRequests();
      this.responses.end();
    } catch (error) {
      this.responses.fail(await this.explained(toStorageError(error)));
    } finally {
      stopDrain();
      stopGone();
      clearTimeout(this.ackTimer);
      this.requests[Symbol.dispose]();
      await this.syncing;
      // What was received is synced by the upload as it is let go.
      await Promise.resolve(this.upload?.[Symbol.asyncDispose]()).catch(() => undefined);
    }
  }

  /** Ends the stream with an error at the next chance. */
  stop(error: StorageError): void {
    this.requests.interrupt(error);
  }

  private async serveRequests(): Promise<void> {
    const first = await this.requests.next();
    if (first === undefined) return;
    if (first.message.case !== 'open')
      throw outOfOrder(`the first message is ${first.message.case ?? 'empty'}; it has to be \`open\``);
    await this.open(first.message.value);
    for (;;) {
      const request = await this.requests.next();
      if (request === undefined) return this.syncNow();
      const { message } = request;
      switch (message.case) {
        case 'batch':
          await this.append(message.value);
          break;
        case 'flush':
          void this.syncNow();
          break;
        case 'commit':
          return this.commit(message.value);
        case 'open':
          throw outOfOrder('the stream is open already; a second `open` is not allowed');
        case undefined:
          throw outOfOrder('a message is empty; `batch`, `flush` or `commit` has to come');
        default:
          message satisfies never;
      }
    }
  }

  private async open(open: SaveOpen): Promise<void> {
    const spec = {
      key: open.key,
      uploadId: open.uploadId === '' ? randomUUID() : open.uploadId,
      problem: open.problem,
      tags: open.tags,
      attributes: open.attributes,
      description: open.description,
      expectedRevision:
        open.expectedRevision === undefined ? undefined : checkedNumber(open.expectedRevision, 'expected_revision'),
      replication: open.replication,
      append: open.append,
      createdBy: this.context.caller?.name ?? '',
    };
    const role = roleOf(open.toBackend, 'to_backend');
    const upload = await this.manager.openUpload(spec, this.context.signal, role);
    this.upload = upload;
    this.isAppend = open.append;
    this.schema = schemaOf(upload.problem.variables);
    onAbort(upload.lost, () => this.stop(upload.lost.reason as StorageError));
    this.answer({
      case: 'opened',
      value: {
        uploadId: upload.uploadId,
        nextRow: BigInt(upload.nextRow),
        volatile: !this.manager.isDurable(upload),
        ...(upload.committed && { committed: toResult(upload.committed, ResultView.FULL) }),
      },
    });
  }

  private async append(wire: RowBatch): Promise<void> {
    const upload = this.upload as Upload;
    if (upload.committed !== undefined) {
      throw new StorageError(
        'UPLOAD_COMMITTED',
        `Upload ${upload.uploadId} is committed and takes no more rows. Open a new upload.`,
      );
    }
    if (wire.firstRow > BigInt(upload.nextRow)) {
      throw new StorageError(
        'ROW_GAP',
        `The batch starts at row ${wire.firstRow}, but row ${upload.nextRow} is next. Send from there on.`,
      );
    }
    if (wire.rowNumbers !== undefined)
      throw new StorageError('BATCH_MISMATCH', 'The batch has row_numbers, which only loads of a result set have.');
    const batch = checkBatch(this.schema, wire);
    const known = upload.nextRow - batch.firstRow;
    if (known >= batch.rowCount) return;
    const fresh = sliceBatch(this.schema, batch, known, batch.rowCount - known);
    this.unsyncedBytes += batchBytes(fresh);
    await upload.append(fresh);
    if (this.unsyncedBytes >= ACK_BYTES_MAX) void this.syncNow();
    else this.ackTimer ??= setTimeout(() => void this.syncNow(), ACK_DELAY_MS);
  }

  /** Starts a sync and acks what it makes durable; one that runs is followed by another. Never rejects. */
  private async syncNow(): Promise<void> {
    this.syncAgain = true;
    this.syncing ??= this.syncLoop();
    await this.syncing;
  }

  private async syncLoop(): Promise<void> {
    try {
      while (this.syncAgain) {
        this.syncAgain = false;
        this.unsyncedBytes = 0;
        clearTimeout(this.ackTimer);
        this.ackTimer = undefined;
        const durableRowCount = BigInt(await (this.upload as Upload).sync());
        const ack = create(SaveResultResponseSchema, { message: { case: 'ack', value: { durableRowCount } } });
        this.responses.replaceLast(ack, (last) => last.message.case === 'ack');
      }
    } catch (error) {
      this.stop(toStorageError(error));
    } finally {
      this.syncing = undefined;
    }
  }

  private async commit(commit: SaveCommit): Promise<void> {
    clearTimeout(this.ackTimer);
    await this.syncing;
    this.requests.throwIfInterrupted();
    // Beyond 2^53 it is not exact, and not the number of rows stored either.
    const rowCount = Number(commit.rowCount);
    const upload = this.upload as Upload;
    const { signal } = this.context;
    const resultSets = await this.manager.checkResultSets(upload, commit.resultSets, rowCount, this.isAppend, signal);
    const manifest = await upload.commit({ rowCount, outcome: commit.outcome, resultSets });
    this.answer({ case: 'committed', value: { result: toResult(manifest, ResultView.FULL) } });
  }

  private answer(message: MessageInitShape<typeof SaveResultResponseSchema>['message']): void {
    this.responses.push(create(SaveResultResponseSchema, { message: message as never }));
  }

  /** Syncs what can be synced, sends the last ack, and adds to the error where the client is to go on. */
  private async explained(error: StorageError): Promise<StorageError> {
    const { upload } = this;
    if (upload === undefined || upload.lost.aborted || error.reason === 'CANCELLED') return error;
    if (upload.committed === undefined) await this.syncNow();
    const metadata = { upload_id: upload.uploadId, next_row: String(upload.durableRowCount), ...error.metadata };
    return new StorageError(error.reason, error.message, { cause: error.cause, metadata });
  }
}

/** Why the caller's signal was aborted: a StorageError where the daemon did it. */
function wentAway({ reason }: AbortSignal): StorageError {
  return reason instanceof StorageError ? reason : new StorageError('CANCELLED', 'The client went away.');
}

function onAbort(signal: AbortSignal, act: () => void): () => void {
  if (signal.aborted) act();
  signal.addEventListener('abort', act, { once: true });
  return () => signal.removeEventListener('abort', act);
}

/** The error for streams that are open when the daemon stops. */
export function shuttingDown(metadata: Record<string, string> = {}): StorageError {
  return new StorageError(
    'SHUTTING_DOWN',
    'The daemon is stopping. Nothing acknowledged is lost: reconnect and go on at next_row.',
    { metadata },
  );
}

function outOfOrder(what: string): StorageError {
  return new StorageError(
    'PROTOCOL_VIOLATION',
    `SaveResult takes \`open\`, then \`batch\` and \`flush\`, then \`commit\`: ${what}.`,
  );
}
