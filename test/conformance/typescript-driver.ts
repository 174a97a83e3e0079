import { create, fromJson, toJson, type DescMessage, type JsonObject, type MessageShape } from '@bufbuild/protobuf';
import type {
  DaemonClientOptions,
  LoadOptions,
  OptistoreClient,
  ResultReader,
} from '../../clients/typescript/index.js';
import {
  Backend,
  OptistoreError,
  Outcome,
  ProblemSchema,
  ResultSchema,
  SetOperation,
  createClient,
  type LoadedBatch,
  type Migrated,
  type Result,
  type ResultWriter,
  type SaveOptions,
  type StoreRole,
} from '../../clients/typescript/index.js';
import {
  GetStatusResponseSchema,
  MigrateResultResponseSchema,
  ReplicateResultsResponseSchema,
  RowSampleSchema,
  UploadSchema,
  VerifyResultsResponseSchema,
  WatchResultsResponseSchema,
  type WatchResultsResponse,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { GrpcCode } from '../../server/errors.js';
import type { JsonColumn } from './columns.js';
import type { Answer, Driver } from './driver.js';
import { inputOf, jsonColumns, jsonOf, one } from './typescript-columns.js';

/** A command as this driver reads it: what is not said of a field is as in README.md. */
interface Command {
  do: string;
  client: string;
  address: string;
  token?: string;
  writer: string;
  reader: string;
  watcher: string;
  key: string;
  name: string;
  prefix?: string;
  to_key: string;
  problem: JsonObject;
  columns: Record<string, JsonColumn>;
  rows?: number[];
  parents: string[];
  operation?: keyof typeof SetOperation;
  upload_id?: string;
  tags?: Record<string, string>;
  attributes?: JsonObject;
  description?: string;
  created_by?: string;
  outcome?: string;
  expected_revision?: number;
  revision?: number;
  replicate?: 'none' | 'async' | 'sync';
  from?: StoreRole;
  to?: StoreRole;
  all?: boolean;
  keep_source?: boolean;
  repair?: boolean;
  first_row?: number;
  row_count?: number;
  result_set?: string;
  sample_rows?: number;
  max_batch_bytes?: number;
  follow?: boolean;
  filter?: string;
  order_by?: string;
  page_size?: number;
  after_event?: string | number;
  result_sets?: { name: string; rows: number[]; description?: string; created_by?: string }[];
}

interface Open {
  readonly reader: ResultReader;
  readonly batches: AsyncGenerator<LoadedBatch>;
  nextRow: number;
}

/** The TypeScript client as a driver. */
export class TypeScriptDriver implements Driver {
  private readonly clients = new Map<string, OptistoreClient>();
  private readonly writers = new Map<string, ResultWriter>();
  private readonly readers = new Map<string, Open>();
  private readonly watchers = new Map<string, AsyncGenerator<WatchResultsResponse, void>>();

  constructor(private readonly connect: (options: DaemonClientOptions) => OptistoreClient = createClient) {}

  async perform(command: JsonObject): Promise<Answer> {
    try {
      const { do: name } = command as { do: string };
      const verb = this.verbs[name];
      if (verb === undefined) throw new Error(`no such verb: ${name}`);
      return { ok: await verb(command as unknown as Command) };
    } catch (error) {
      if (error instanceof RangeError || error instanceof TypeError) return { misuse: error.message };
      if (!(error instanceof OptistoreError)) throw error;
      const { message, metadata, reason = null } = error;
      const [code = ''] = Object.entries(GrpcCode).find(([, number]) => number === error.code) ?? [];
      return { error: { code, reason, message, metadata: { ...metadata } } };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watcher of this.watchers.values()) await watcher.return();
    for (const { batches } of this.readers.values()) await batches.return(undefined);
    for (const client of this.clients.values()) client.close();
    for (const map of [this.clients, this.writers, this.readers, this.watchers]) map.clear();
  }

  private readonly verbs: Readonly<Record<string, (command: Command) => Promise<JsonObject>>> = {
    connect: async ({ client, address, token = '' }) => {
      this.clients.set(client, this.connect({ address, token }));
      return {};
    },
    reset: async () => {
      await this[Symbol.asyncDispose]();
      return {};
    },

    save: async (command) => {
      const problem = fromJson(ProblemSchema, command.problem);
      return this.opened(command, await this.client(command).save(command.key, problem, saveOptions(command)));
    },
    extend: async (command) =>
      this.opened(command, await this.client(command).append(command.key, saveOptions(command))),
    append: async (command) => {
      await this.writer(command).append(inputOf(command.columns));
      return {};
    },
    append_each: async (command) => {
      const entries = Object.entries(command.columns);
      const rowCount = entries[0]?.[1].values.length ?? 0;
      for (let row = 0; row < rowCount; row++)
        await this.writer(command).append(
          inputOf(Object.fromEntries(entries.map(([name, { type, values }]) => [name, one(type, values, row)]))),
        );
      return {};
    },
    append_flushed: async (command) => {
      await this.writer(command).append(inputOf(command.columns));
      return { durable_row_count: await this.writer(command).flush() };
    },
    flush: async (command) => ({ durable_row_count: await this.writer(command).flush() }),
    commit: async (command) => {
      const { outcome, result_sets: sets = [] } = command;
      const result = await this.writer(command).commit({
        ...(outcome !== undefined && { outcome: outcomeOf(outcome) }),
        resultSets: sets.map(({ created_by: createdBy, ...set }) => ({
          ...set,
          ...(createdBy !== undefined && { createdBy }),
        })),
      });
      return { result: json(ResultSchema, result) };
    },
    close: async (command) => {
      await this.writer(command).close();
      return {};
    },

    load: async (command) => {
      const reader = this.client(command).load(command.key, loadOptions(command));
      const { header, columns, rowNumbers } = await reader.toColumns();
      return {
        ...{ result: json(ResultSchema, header.result as Result), first_row: Number(header.firstRow) },
        ...{ served_from: `BACKEND_${Backend[header.servedFrom]}`, stale: header.stale, columns: jsonColumns(columns) },
        ...(rowNumbers && { row_numbers: [...rowNumbers] }),
        ...(header.sample && { sample: json(RowSampleSchema, header.sample) }),
      };
    },
    load_batches: async (command) => {
      const reader = this.client(command).load(command.key, loadOptions(command));
      const batches = await collected(reader);
      return {
        first_row: batches[0]?.firstRow ?? 0,
        batch_count: batches.length,
        ...jsonOf(batches),
      };
    },
    begin_load: async (command) => {
      const reader = this.client(command).load(command.key, loadOptions(command));
      const batches = reader[Symbol.asyncIterator]();
      // The header comes with the first batch; a follower's may be long in coming.
      const first = batches.next();
      const header = await Promise.race([reader.header(), first.then(() => reader.header())]);
      const pending = (async function* () {
        for (let next = await first; next.done !== true; next = await batches.next()) yield next.value;
      })();
      this.readers.set(command.reader, { reader, batches: pending, nextRow: Number(header.firstRow) });
      return { result: json(ResultSchema, header.result as Result) };
    },
    next: async (command) => {
      const open = this.readers.get(command.reader) as Open;
      const batches: LoadedBatch[] = [];
      for (let rows = 0; rows < (command.row_count ?? 1); rows += batches.at(-1)?.rowCount ?? 0) {
        const next = await open.batches.next();
        if (next.done === true) break;
        batches.push(next.value);
      }
      return this.told(open, batches);
    },
    rest: async (command) => {
      const open = this.readers.get(command.reader) as Open;
      const answer = this.told(open, await collected(open.batches));
      const { committed } = open.reader;
      return { ...answer, ...(committed && { committed: json(ResultSchema, committed) }) };
    },
    leave: async ({ reader, watcher }) => {
      await this.readers.get(reader)?.batches.return(undefined);
      await this.watchers.get(watcher)?.return();
      return {};
    },

    get: async (command) => ({ result: json(ResultSchema, await this.client(command).getResult(command.key)) }),
    list: async (command) => {
      const { prefix, tags, filter, order_by: orderBy, page_size: pageSize } = command;
      const unreachable: string[] = [];
      const results = this.client(command).listResults({
        ...(prefix !== undefined && { prefix }),
        ...(tags && { tags }),
        ...(filter !== undefined && { filter }),
        ...(orderBy !== undefined && { orderBy }),
        ...(pageSize !== undefined && { pageSize }),
        onUnreachable: (stores) => unreachable.push(...stores),
      });
      return { results: (await collected(results)).map((result) => json(ResultSchema, result)), unreachable };
    },
    update: async (command) => {
      const { key, tags, attributes, description, outcome } = command;
      const result = await this.client(command).updateResult(
        key,
        {
          ...(tags && { tags }),
          ...(attributes && { attributes }),
          ...(description !== undefined && { description }),
          ...(outcome !== undefined && { outcome: outcomeOf(outcome) }),
        },
        expected(command),
      );
      return { result: json(ResultSchema, result) };
    },
    delete: async (command) => {
      const { key, from } = command;
      const revision = await this.client(command).deleteResult(key, { ...expected(command), ...(from && { from }) });
      return { revision: Number(revision) };
    },
    put_set: async (command) => {
      const { key, name, rows, operation, parents, description, created_by: createdBy } = command;
      const content = rows ? { rows } : { operation: operationOf(operation), parents };
      const result = await this.client(command).putResultSet(key, name, content, {
        ...(description !== undefined && { description }),
        ...(createdBy !== undefined && { createdBy }),
        ...expected(command),
      });
      return { result: json(ResultSchema, result) };
    },
    delete_set: async (command) => ({
      result: json(ResultSchema, await this.client(command).deleteResultSet(command.key, command.name)),
    }),
    copy: async (command) => ({
      result: json(ResultSchema, await this.client(command).copyResult(command.key, command.to_key)),
    }),
    move: async (command) => ({
      result: json(ResultSchema, await this.client(command).moveResult(command.key, command.to_key)),
    }),
    migrate: async (command) => {
      const { key, prefix, from, to, keep_source: keepSource = false } = command;
      const what: Migrated = prefix !== undefined ? { prefix } : { key };
      const options = { from: from as StoreRole, to: to as StoreRole, keepSource };
      const told = await collected(this.client(command).migrate(what, options));
      return { last: json(MigrateResultResponseSchema, told.at(-1)) };
    },
    replicate: async (command) => {
      const { prefix } = command;
      const told = await collected(this.client(command).replicate({ ...(prefix !== undefined && { prefix }) }));
      return { last: json(ReplicateResultsResponseSchema, told.at(-1)) };
    },
    verify: async (command) => {
      const { prefix, from, repair = false } = command;
      const told = this.client(command).verifyResults({
        ...(prefix !== undefined && { prefix }),
        ...(from && { from }),
        repair,
      });
      return { copies: (await collected(told)).map((copy) => json(VerifyResultsResponseSchema, copy)) };
    },
    uploads: async (command) => {
      const { prefix } = command;
      const uploads = this.client(command).listUploads({ ...(prefix !== undefined && { prefix }) });
      return { uploads: (await collected(uploads)).map((upload) => json(UploadSchema, upload)) };
    },
    abort: async (command) => {
      await this.client(command).abortUpload(command.upload_id as string);
      return {};
    },
    status: async (command) => ({ status: json(GetStatusResponseSchema, await this.client(command).getStatus()) }),

    watch: async (command) => {
      const { prefix, after_event: afterEvent } = command;
      const events = this.client(command).watch({
        ...(prefix !== undefined && { prefix }),
        ...(afterEvent !== undefined && { afterEvent: BigInt(afterEvent) }),
      });
      this.watchers.set(command.watcher, events);
      // The first message says that it has begun.
      if (afterEvent === undefined) await events.next();
      return {};
    },
    next_event: async (command) => {
      const events = this.watchers.get(command.watcher) as AsyncGenerator<WatchResultsResponse, void>;
      for (;;) {
        const next = await events.next();
        if (next.done === true) throw new Error('the watch ended');
        if (next.value.event.case !== undefined) return json(WatchResultsResponseSchema, next.value);
      }
    },
  };

  private client({ client }: Command): OptistoreClient {
    return this.clients.get(client) as OptistoreClient;
  }

  private writer({ writer }: Command): ResultWriter {
    return this.writers.get(writer) as ResultWriter;
  }

  private opened({ writer: name }: Command, writer: ResultWriter): JsonObject {
    this.writers.set(name, writer);
    const { uploadId, nextRow, committed } = writer;
    return {
      ...{ upload_id: uploadId, next_row: nextRow },
      ...(committed && { committed: json(ResultSchema, committed) }),
    };
  }

  private told(open: Open, batches: readonly LoadedBatch[]): JsonObject {
    const firstRow = batches[0]?.firstRow ?? open.nextRow;
    for (const { rowCount } of batches) open.nextRow += rowCount;
    return { first_row: firstRow, end_row: open.nextRow, ...jsonOf(batches) };
  }
}

function saveOptions(command: Command): SaveOptions {
  const { upload_id: uploadId, tags, attributes, description, replicate, to } = command;
  return {
    ...(uploadId !== undefined && { uploadId }),
    ...(tags && { tags }),
    ...(attributes && { attributes }),
    ...(description !== undefined && { description }),
    ...(replicate !== undefined && { replicate: replicate === 'sync' ? 'sync' : replicate === 'async' }),
    ...(to === 'cache' && { to }),
    ...expected(command),
  };
}

function loadOptions(command: Command): LoadOptions {
  const { columns, first_row: first = 0, row_count: count, revision, from, follow } = command;
  return {
    ...(columns && { columns: columns as unknown as string[] }),
    ...((first > 0 || count !== undefined) && { rows: count === undefined ? [first] : [first, first + count] }),
    ...(revision !== undefined && { revision: BigInt(revision) }),
    ...(command.result_set !== undefined && { resultSet: command.result_set }),
    ...(command.sample_rows !== undefined && { sampleRows: command.sample_rows }),
    ...(command.max_batch_bytes !== undefined && { maxBatchBytes: command.max_batch_bytes }),
    ...(command.upload_id !== undefined && { uploadId: command.upload_id }),
    ...(from && { from }),
    ...(follow !== undefined && { follow }),
  };
}

function expected({ expected_revision: revision }: Command): { expectedRevision?: bigint } {
  return revision === undefined ? {} : { expectedRevision: BigInt(revision) };
}

function outcomeOf(name: string): Outcome {
  return Outcome[name.slice('OUTCOME_'.length) as keyof typeof Outcome];
}

function operationOf(name = ''): SetOperation.UNION | SetOperation.INTERSECTION | SetOperation.DIFFERENCE {
  return SetOperation[name.slice('SET_OPERATION_'.length) as 'UNION'];
}

function json<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc> | undefined): JsonObject {
  return toJson(schema, message ?? create(schema), { useProtoFieldName: true }) as JsonObject;
}

async function collected<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}
