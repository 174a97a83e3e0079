import { randomUUID } from 'node:crypto';
import { create, type JsonObject, type MessageInitShape } from '@bufbuild/protobuf';
import { ProblemSchema, type Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Result } from '../../proto/gen/optistore/v1/result_pb.js';
import { type ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import type { GetStatusResponse, Upload } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import {
  AbortUploadRequestSchema,
  DeleteResultRequestSchema,
  GetResultRequestSchema,
  GetStatusRequestSchema,
  ListResultsRequestSchema,
  ListUploadsRequestSchema,
  LoadResultRequestSchema,
  SaveOpenSchema,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { Channel } from './channel.js';
import { ResultReader } from './reader.js';
import { ResultWriter, type WriterEvents } from './writer.js';

/** Where and how to connect. */
export interface ClientOptions {
  /** `host:port` or `unix:PATH`. Default: OPTISTORE_SERVER, else 127.0.0.1:50051. */
  readonly address?: string;
  /** A save or load gives up after failing to reconnect for this long. Default: 5 minutes. */
  readonly retryMs?: number;
}

/** What a save may say besides its key and problem. */
export interface SaveOptions extends WriterEvents {
  /** The solver's own run id, to resume by. Default: a new UUID. */
  readonly uploadId?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly attributes?: JsonObject;
  readonly description?: string;
  /** The commit replaces this revision only; 0n: the key must not exist. */
  readonly expectedRevision?: bigint;
}

/** What to load. */
export interface LoadOptions {
  /** Names, in the order wanted. Default: all. */
  readonly columns?: readonly string[];
  /** From the first, to before the second. Default: all. */
  readonly rows?: readonly [first: number, end?: number];
  readonly revision?: bigint;
  readonly maxBatchBytes?: number;
}

/** What to list. */
export interface ListOptions {
  readonly prefix?: string;
  readonly tags?: Readonly<Record<string, string>>;
  /** `key`, `commit_time` or `update_time`, with ` desc` for the reverse. */
  readonly orderBy?: string;
  readonly pageSize?: number;
  readonly view?: ResultView;
}

/**
 * Makes a client; it connects when it is first used. Close it at the end.
 * @example
 * await using client = createClient();
 * const writer = await client.save('runs/1', { variables: [...] });
 * await writer.append({ x: [1, 2], f: [3, 4] });
 * await writer.commit();
 */
export function createClient(options: ClientOptions = {}): OptistoreClient {
  return new OptistoreClient(options);
}

/** A client of a daemon. All calls fail with OptistoreError. */
export class OptistoreClient implements AsyncDisposable {
  private readonly channel: Channel;
  private readonly retryMs: number;

  constructor(options: ClientOptions) {
    this.channel = new Channel(options.address ?? process.env['OPTISTORE_SERVER'] ?? '127.0.0.1:50051');
    this.retryMs = options.retryMs ?? 5 * 60_000;
  }

  /** Opens an upload, or resumes the one with `uploadId`. */
  save(key: string, problem: MessageInitShape<typeof ProblemSchema>, options: SaveOptions = {}): Promise<ResultWriter> {
    return this.open(key, create(ProblemSchema, problem), false, options);
  }

  /** Opens an upload that adds rows behind those that the key has; they have the same columns. */
  async append(key: string, options: SaveOptions = {}): Promise<ResultWriter> {
    const { problem } = await this.getResult(key);
    return this.open(key, problem ?? create(ProblemSchema), true, options);
  }

  private open(key: string, problem: Problem, append: boolean, options: SaveOptions): Promise<ResultWriter> {
    const { tags, attributes, description, expectedRevision } = options;
    const open = create(SaveOpenSchema, {
      ...{ key, uploadId: options.uploadId ?? randomUUID(), problem, append },
      ...(tags && { tags }),
      ...(attributes && { attributes }),
      ...(description !== undefined && { description }),
      ...(expectedRevision !== undefined && { expectedRevision }),
    });
    return new ResultWriter(this.channel, open, options, this.retryMs).begin();
  }

  /** Loads rows. */
  load(key: string, options: LoadOptions = {}): ResultReader {
    const [first, end] = options.rows ?? [];
    const request = create(LoadResultRequestSchema, {
      key,
      columns: [...(options.columns ?? [])],
      maxBatchBytes: options.maxBatchBytes ?? 0,
      ...(first !== undefined && { firstRow: BigInt(first) }),
      ...(end !== undefined && { rowCount: BigInt(Math.max(end - (first ?? 0), 0)) }),
      ...(options.revision !== undefined && { revision: options.revision }),
    });
    return new ResultReader(this.channel, request, this.retryMs);
  }

  /** A result's metadata. */
  async getResult(key: string): Promise<Result> {
    const { result } = await this.channel.unary('getResult', create(GetResultRequestSchema, { key }));
    return result as Result;
  }

  /** Results, page by page as they are iterated. */
  async *listResults(options: ListOptions = {}): AsyncGenerator<Result> {
    let pageToken = '';
    do {
      const { tags, ...rest } = options;
      const request = create(ListResultsRequestSchema, { ...rest, ...(tags && { tags: { ...tags } }), pageToken });
      const page = await this.channel.unary('listResults', request);
      yield* page.results;
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }

  /** Deletes a result; gives the deletion's revision. */
  async deleteResult(key: string, options: { expectedRevision?: bigint } = {}): Promise<bigint> {
    return (await this.channel.unary('deleteResult', create(DeleteResultRequestSchema, { key, ...options }))).revision;
  }

  /** Saves in progress. */
  async *listUploads(options: { prefix?: string } = {}): AsyncGenerator<Upload> {
    let pageToken = '';
    do {
      const page = await this.channel.unary('listUploads', create(ListUploadsRequestSchema, { ...options, pageToken }));
      yield* page.uploads;
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }

  /** Gives up a save in progress and removes its rows. */
  async abortUpload(uploadId: string): Promise<void> {
    await this.channel.unary('abortUpload', create(AbortUploadRequestSchema, { uploadId }));
  }

  /** How the daemon is. */
  getStatus(): Promise<GetStatusResponse> {
    return this.channel.unary('getStatus', create(GetStatusRequestSchema));
  }

  /** Closes the connection. Writers are closed before. */
  close(): void {
    this.channel.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }
}
