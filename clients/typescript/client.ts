import { randomUUID } from 'node:crypto';
import { create, type JsonObject, type MessageInitShape } from '@bufbuild/protobuf';
import { ProblemSchema, type Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import {
  ReplicationMode,
  type Outcome,
  type Result,
  type ResultView,
  type SetOperation,
} from '../../proto/gen/optistore/v1/result_pb.js';
import type {
  GetStatusResponse,
  MigrateResultResponse,
  MigrateStoreResponse,
  ReplicateResultsResponse,
  Upload,
  VerifyResultsResponse,
  WatchResultsResponse,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import {
  AbortUploadRequestSchema,
  CopyResultRequestSchema,
  DeleteResultRequestSchema,
  DeleteResultSetRequestSchema,
  GetResultRequestSchema,
  GetStatusRequestSchema,
  ListResultsRequestSchema,
  ListUploadsRequestSchema,
  MigrateStoreRequestSchema,
  ReplicateResultsRequestSchema,
  PutResultSetRequestSchema,
  SaveOpenSchema,
  UpdateResultRequestSchema,
  VerifyResultsRequestSchema,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { rowNumbersOf, type GivenRows } from '../../server/rows/row-numbers/given-rows.js';
import { Channel } from './channel.js';
import { ConnectLink, type AddressedTransport } from './connect-link.js';
import { addressOf, type DaemonOptions } from './connection.js';
import { GrpcCode, OptistoreError } from './errors.js';
import { GrpcJsLink } from './grpc-js-link.js';
import { loadRequest, type LoadOptions } from './load-options.js';
import { migrationRequest, type Migrated, type MigrationOptions } from './migration.js';
import { backendOf, type StoreRole } from './store-roles.js';
import { watchEvents, type WatchOptions } from './watch.js';
import { ResultReader } from './reader.js';
import { ResultWriter, type WriterEvents } from './writer.js';

/** How long a client tries. */
interface Patience {
  /** A save or load gives up after failing to reconnect for this long. Default: 5 minutes. */
  readonly retryMs?: number;
}

/** Where and how to connect, by @grpc/grpc-js. */
export interface DaemonClientOptions extends DaemonOptions, Patience {
  readonly transport?: undefined;
}

/** By what to connect: all else about the connection is the transport's. */
export interface TransportClientOptions extends Patience {
  /** What `connectTransport` of `optistore/client/connect` makes, or any other Transport of @connectrpc/connect over HTTP/2. */
  readonly transport: AddressedTransport;
}

/** Where and how to connect. */
export type ClientOptions = DaemonClientOptions | TransportClientOptions;

/** What a save may say besides its key and problem. */
export interface SaveOptions extends WriterEvents {
  /** The solver's own run id, to resume by. Default: a new UUID. */
  readonly uploadId?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly attributes?: JsonObject;
  readonly description?: string;
  /** The commit replaces this revision only; 0n: the key must not exist. */
  readonly expectedRevision?: bigint;
  /** Copies it to the secondary: true does not wait for that, `sync` does. Default: as the daemon is configured. */
  readonly replicate?: boolean | 'sync';
  /** `cache`: kept in memory alone until it is migrated or deleted. Default: primary. */
  readonly to?: 'primary' | 'cache';
}

/** Which copies of a result are deleted. */
export interface DeleteOptions {
  /** The revision that is to be deleted. */
  readonly expectedRevision?: bigint;
  /** Only this store's copy, while another one has the same. Default: the result, everywhere. */
  readonly from?: StoreRole;
}

/** What a result set is made of: rows, or an operation on sets of the same result. */
export type SetContent =
  | { readonly rows: GivenRows }
  | {
      readonly operation: SetOperation.UNION | SetOperation.INTERSECTION | SetOperation.DIFFERENCE;
      readonly parents: readonly string[];
    };

/** What a result set may say besides its rows. */
export interface SetOptions {
  readonly description?: string;
  /** A person or a program. */
  readonly createdBy?: string;
  /** The revision that is changed. */
  readonly expectedRevision?: bigint;
}

/** How a result is copied. */
export interface CopyOptions {
  /** Default: the newest. */
  readonly revision?: bigint;
  /** The revision of the other key that is replaced. Default: the key must not exist. */
  readonly expectedRevision?: bigint;
  /** How far it is, at least every second. */
  onProgress?(copiedRowCount: number, rowCount: number): void;
}

/** What to change of a result's metadata. */
export interface ResultChanges {
  /** Tags to set; null removes one. The others stay. */
  readonly tags?: Readonly<Record<string, string | null>>;
  /** In place of all that there are. */
  readonly attributes?: JsonObject;
  readonly description?: string;
  readonly outcome?: Outcome;
}

/** What to verify. */
export interface VerifyOptions {
  /** Keys that begin with this. */
  readonly prefix?: string;
  /** Only this store's copies; not the cache's. Default: those of both. */
  readonly from?: StoreRole;
  /** Replace what is corrupt or missing by the other store's copy. Default: false. */
  readonly repair?: boolean;
}

/** What to list. */
export interface ListOptions {
  readonly prefix?: string;
  readonly tags?: Readonly<Record<string, string>>;
  /** Such as `solver = "NSGA2" AND best.f < 2.5`; see docs/filter.md. */
  readonly filter?: string;
  /** `key`, `commit_time` or `update_time`, with ` desc` for the reverse. */
  readonly orderBy?: string;
  readonly pageSize?: number;
  readonly view?: ResultView;
  /** Told of stores that could not be asked, so that results may be lacking or old. */
  readonly onUnreachable?: (stores: readonly string[]) => void;
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
    this.channel = channelOf(options);
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
      ...{ replication: modeOf(options.replicate), toBackend: backendOf(options.to) },
    });
    return new ResultWriter(this.channel, open, options, this.retryMs).begin();
  }

  /**
   * Loads rows.
   * @example
   * for await (const { firstRow, rowCount } of client.load('runs/1', { follow: true })) console.log(firstRow + rowCount);
   */
  load(key: string, options: LoadOptions = {}): ResultReader {
    return new ResultReader(this.channel, loadRequest(key, options, this.channel.address), this.retryMs, options);
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
      const { tags, onUnreachable, ...rest } = options;
      const request = create(ListResultsRequestSchema, { ...rest, ...(tags && { tags: { ...tags } }), pageToken });
      const page = await this.channel.unary('listResults', request);
      if (page.unreachable.length > 0) onUnreachable?.(page.unreachable);
      yield* page.results;
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }

  /** Changes a result's metadata; what is not named stays as it is. Gives the result as it is then. */
  async updateResult(
    key: string,
    changes: ResultChanges,
    options: { expectedRevision?: bigint } = {},
  ): Promise<Result> {
    const { tags = {}, attributes, description, outcome } = changes;
    const paths = Object.keys(tags).map((name) => `tags.${name}`);
    for (const field of ['attributes', 'description', 'outcome'] as const)
      if (changes[field] !== undefined) paths.push(field);
    const kept = Object.entries(tags).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
    const request = create(UpdateResultRequestSchema, {
      result: {
        key,
        tags: Object.fromEntries(kept),
        ...(attributes && { attributes }),
        ...(description !== undefined && { description }),
        ...(outcome !== undefined && { outcome }),
      },
      updateMask: { paths },
      ...options,
    });
    return (await this.channel.unary('updateResult', request)).result as Result;
  }

  /** Deletes a result, or one of its copies; gives the deletion's revision, or that of the copy. */
  async deleteResult(key: string, options: DeleteOptions = {}): Promise<bigint> {
    const { expectedRevision, from } = options;
    const request = create(DeleteResultRequestSchema, {
      ...{ key, backend: backendOf(from) },
      ...(expectedRevision !== undefined && { expectedRevision }),
    });
    return (await this.channel.unary('deleteResult', request)).revision;
  }

  /** Makes or replaces a named subset of a result's rows; gives the result as it is now. RangeError for rows out of order. */
  async putResultSet(key: string, name: string, content: SetContent, options: SetOptions = {}): Promise<Result> {
    const made =
      'rows' in content
        ? { rows: rowNumbersOf(content.rows) }
        : { operation: content.operation, parents: [...content.parents] };
    const request = create(PutResultSetRequestSchema, { key, name, ...made, ...options });
    return (await this.channel.unary('putResultSet', request)).result as Result;
  }

  /** Removes a named subset, not its rows; gives the result as it is now. */
  async deleteResultSet(key: string, name: string, options: { expectedRevision?: bigint } = {}): Promise<Result> {
    const request = create(DeleteResultSetRequestSchema, { key, name, ...options });
    return (await this.channel.unary('deleteResultSet', request)).result as Result;
  }

  /** Copies a result to another key; gives the copy. */
  copyResult(key: string, toKey: string, options: CopyOptions = {}): Promise<Result> {
    return this.copy(key, toKey, false, options);
  }

  /** Gives a result another key. The old one is deleted once the copy was verified; REVISION_MISMATCH where it was changed meanwhile. */
  moveResult(key: string, toKey: string, options: Omit<CopyOptions, 'revision'> = {}): Promise<Result> {
    return this.copy(key, toKey, true, options);
  }

  private async copy(key: string, toKey: string, removeSource: boolean, options: CopyOptions): Promise<Result> {
    const { revision, expectedRevision } = options;
    const request = create(CopyResultRequestSchema, {
      ...{ key, toKey, removeSource },
      ...(revision !== undefined && { revision }),
      ...(expectedRevision !== undefined && { expectedRevision }),
    });
    for await (const { copiedRowCount, rowCount, result } of this.channel.stream('copyResult', request)) {
      options.onProgress?.(Number(copiedRowCount), Number(rowCount));
      if (result !== undefined) return result;
    }
    throw new OptistoreError('The copy ended without a result.', GrpcCode.UNAVAILABLE, undefined, {});
  }

  /**
   * Tells what happens, as it happens; reconnects by itself and goes on behind the last event. Ends when it is left, or the
   * client closed. Fails with EVENTS_EXPIRED where the daemon no longer knows that event, and when it can't be reached for `retryMs`.
   */
  watch(options: WatchOptions = {}): AsyncGenerator<WatchResultsResponse, void> {
    return watchEvents(this.channel, options, this.retryMs);
  }

  /**
   * Reads results again from beginning to end, and tells of each copy whether every byte checks; repairs by the other
   * store's where that is asked for. NO_SECONDARY.
   */
  verifyResults({ from, ...rest }: VerifyOptions = {}): AsyncIterable<VerifyResultsResponse> {
    const request = create(VerifyResultsRequestSchema, { ...rest, backend: backendOf(from) });
    return this.channel.stream('verifyResults', request);
  }

  /**
   * Moves or copies results from one store to another, and tells how far it is; the same again goes on. Of many, one that fails is told
   * by the `failure` of a response, and the others go on.
   * @example
   * for await (const { key, done } of client.migrate({ prefix: 'runs/2024/' }, { from: 'primary', to: 'secondary' }))
   *   if (done) console.log(key);
   */
  migrate(what: Migrated, options: MigrationOptions): AsyncIterable<MigrateResultResponse> {
    return this.channel.stream('migrateResult', migrationRequest(what, options));
  }

  /** Copies to the secondary what it lacks; later changes of these keys are replicated. Tells how far it is. */
  replicate(options: { prefix?: string } = {}): AsyncIterable<ReplicateResultsResponse> {
    return this.channel.stream('replicateResults', create(ReplicateResultsRequestSchema, options));
  }

  /** Copies everything from the primary to the secondary, so that the two can be swapped. Tells how far it is. */
  migrateStore(): AsyncIterable<MigrateStoreResponse> {
    return this.channel.stream('migrateStore', create(MigrateStoreRequestSchema));
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

  /** Closes the connection, unless it is that of a transport, and ends what is watched. Writers are closed before. */
  close(): void {
    this.channel.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }
}

function channelOf(options: ClientOptions): Channel {
  if (options.transport === undefined) {
    const address = addressOf(options);
    return new Channel(address, new GrpcJsLink(address, options));
  }
  const link = new ConnectLink(options.transport);
  return new Channel(link.address, link);
}

function modeOf(replicate: SaveOptions['replicate']): ReplicationMode {
  if (replicate === 'sync') return ReplicationMode.SYNC;
  if (replicate === undefined) return ReplicationMode.UNSPECIFIED;
  return replicate ? ReplicationMode.ASYNC : ReplicationMode.NONE;
}
