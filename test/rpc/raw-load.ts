import { crc32 } from 'node:zlib';
import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import type { Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Result } from '../../proto/gen/optistore/v1/result_pb.js';
import type { RowBatch } from '../../proto/gen/optistore/v1/rows_pb.js';
import type { LoadHeader, LoadResultResponse, LoadTrailer } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { LoadResultRequestSchema, LoadResultResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { Channel } from '../../clients/typescript/channel.js';
import type { OptistoreError } from '../../clients/typescript/errors.js';
import type { Answers } from '../../clients/typescript/link.js';
import type { Batch } from '../../server/rows/batch.js';
import { schemaOf } from '../../server/rows/batch.js';
import { checkBatch } from '../../server/rows/check.js';
import { gatherBatches } from '../../server/rows/gather.js';
import { sliceBatch } from '../../server/rows/slice.js';
import { toRowBatch } from '../../server/rows/wire.js';
import { RawSave } from './wire.js';

type LoadRequest = MessageInitShape<typeof LoadResultRequestSchema>;

/** A LoadResult stream, read message by message. */
export class RawLoad {
  private readonly stream: Answers<LoadResultResponse>;
  private readonly responses: AsyncIterator<LoadResultResponse>;
  /** Which kinds of message came, in order. */
  readonly cases: string[] = [];
  readonly batches: RowBatch[] = [];
  /** Sizes of the messages with batches. */
  readonly messageBytes: number[] = [];
  header: LoadHeader | undefined;
  trailer: LoadTrailer | undefined;

  constructor(
    private readonly channel: Channel,
    request: LoadRequest,
  ) {
    this.stream = channel.load(create(LoadResultRequestSchema, request));
    this.responses = this.stream[Symbol.asyncIterator]();
  }

  /** Takes one message; false at the end. */
  async step(): Promise<boolean> {
    let next: IteratorResult<LoadResultResponse>;
    try {
      next = await this.responses.next();
    } catch (error) {
      throw this.channel.explain(error);
    }
    if (next.done === true) return false;
    const { message } = next.value;
    this.cases.push(message.case ?? 'empty');
    if (message.case === 'header') this.header = message.value;
    if (message.case === 'trailer') this.trailer = message.value;
    if (message.case === 'batch') {
      this.batches.push(message.value);
      this.messageBytes.push(toBinary(LoadResultResponseSchema, next.value).byteLength);
    }
    return true;
  }

  /** Takes all that comes. */
  async toEnd(): Promise<this> {
    while (await this.step());
    return this;
  }

  get trailerRowCount(): bigint | undefined {
    return this.trailer?.rowCount;
  }

  /** The error that it ends with. */
  async error(): Promise<OptistoreError> {
    try {
      await this.toEnd();
    } catch (error) {
      return error as OptistoreError;
    }
    throw new Error('the load ended without an error');
  }

  /** All rows that came, as one batch. */
  rows(): Batch {
    const schema = schemaOf(this.header?.variables ?? []);
    return gatherBatches(
      schema,
      this.batches.map((batch) => checkBatch(schema, batch)),
    );
  }

  cancel(): void {
    this.stream.cancel();
  }
}

/** Loads all that is asked for. */
export function rawLoad(channel: Channel, request: LoadRequest): Promise<RawLoad> {
  return new RawLoad(channel, request).toEnd();
}

/** Saves a run, in messages of so many rows, as a result. */
export async function saveRun(
  address: string,
  key: string,
  problem: Problem,
  run: Batch,
  rowsPerMessage = run.rowCount,
): Promise<Result> {
  const save = new RawSave(address);
  save.send({ case: 'open', value: { key, problem } });
  const schema = schemaOf(problem.variables);
  for (let from = 0; from < run.rowCount; from += rowsPerMessage) {
    const part = sliceBatch(schema, run, from, Math.min(rowsPerMessage, run.rowCount - from));
    save.send({ case: 'batch', value: toRowBatch(part, problem.variables) });
  }
  save.send({ case: 'commit', value: { rowCount: BigInt(run.rowCount) } });
  const { result } = await save.answer('committed');
  await save.endAndWait();
  return result as Result;
}

/** The checksum of a batch as its comment in the contract defines it. */
export function checksumOf(batch: RowBatch): number {
  const buffers = batch.columns.flatMap(({ values, validity }) => {
    if (values.case === undefined) throw new Error('a column has no values');
    const parts = values.case === 'stringValues' ? [values.value.offsets, values.value.utf8] : [values.value];
    return [...parts, validity];
  });
  return crc32(Buffer.concat(buffers));
}
