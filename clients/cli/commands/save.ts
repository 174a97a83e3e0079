import { open, readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ProblemSchema, type Problem } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { ReplicationState, type ResultWriter, type SaveOptions } from '../../typescript/index.js';
import { connect } from '../connect.js';
import { toColumns, type Cell } from '../cells.js';
import { InputError, readCsv } from '../csv.js';
import { readJsonTable } from '../json-table.js';
import { progressBar } from '../progress.js';

/** Flags of `optistore save`. */
export interface SaveFlags {
  readonly server?: string;
  readonly problem?: string;
  readonly tag?: Record<string, string>;
  readonly uploadId?: string;
  readonly description?: string;
  readonly expectedRevision?: bigint;
  readonly append?: boolean;
  readonly replicate?: boolean | 'sync';
  readonly to?: 'primary' | 'cache';
}

/** What a commit's answer says of the copy in the secondary. */
const REPLICATED: Record<ReplicationState, string> = {
  [ReplicationState.UNSPECIFIED]: '',
  [ReplicationState.NONE]: '',
  [ReplicationState.PENDING]: ', will be copied to the secondary',
  [ReplicationState.DONE]: ', copied to the secondary',
  [ReplicationState.FAILED]: ', could not be copied to the secondary: see optistore status',
};
const ROWS_PER_APPEND = 1000;
/** A running solver's rows wait this long for company at most. */
const GATHER_MS = 50;

/** Saves a table under a key: FILE.csv, FILE.json, or `-` for CSV from standard input as it is printed. */
export async function save(key: string, file: string, flags: SaveFlags): Promise<void> {
  const table = file.endsWith('.json') ? await readJsonTable(file) : undefined;
  await using client = connect(flags);
  const base = flags.append === true ? await client.getResult(key) : undefined;
  const given = flags.problem === undefined ? table?.problem : await readProblem(flags.problem);
  const problem = base?.problem ?? given;
  if (problem === undefined) throw new InputError('No problem is given. Name its file with --problem problem.json.');
  // Opened before the upload is: a file that is not there leaves nothing behind.
  const rows = table?.rows(problem) ?? readCsv(await openInput(file), problem);
  const bar = progressBar('saved rows');
  const options: SaveOptions = {
    onAck: (durable) => bar.update(durable),
    onReconnect: (error) => process.stderr.write(`${error.message} Reconnecting.\n`),
    ...(flags.tag && { tags: flags.tag }),
    ...(flags.uploadId !== undefined && { uploadId: flags.uploadId }),
    ...(flags.description !== undefined && { description: flags.description }),
    ...(flags.expectedRevision !== undefined && { expectedRevision: flags.expectedRevision }),
    ...(flags.replicate !== undefined && { replicate: flags.replicate }),
    ...(flags.to !== undefined && { to: flags.to }),
  };
  const writer = await (base === undefined ? client.save(key, problem, options) : client.append(key, options));
  try {
    const knownRowCount = writer.nextRow - Number(base?.rowCount ?? 0);
    if (writer.committed === undefined) await appendRows(writer, problem, rows, knownRowCount);
    const result = await writer.commit();
    bar.stop();
    process.stdout.write(
      `${key}: ${result.rowCount} rows, revision ${result.revision}${REPLICATED[result.replication]}\n`,
    );
  } catch (error) {
    bar.stop();
    await writer.close();
    process.stderr.write(
      `${writer.durableRowCount} rows are safe. To go on: the same command with --upload-id ${writer.uploadId}\n`,
    );
    throw error;
  }
}

async function openInput(file: string): Promise<Readable> {
  return file === '-' ? process.stdin : (await open(file)).createReadStream();
}

async function readProblem(path: string): Promise<Problem> {
  try {
    return fromJson(ProblemSchema, JSON.parse(await readFile(path, 'utf8')) as JsonValue);
  } catch (error) {
    throw new InputError(
      `${path} is not a problem in protobuf JSON: ${error instanceof Error ? error.message : String(error)}. examples/ has some.`,
    );
  }
}

/** Appends rows as they come, several together; skips those that an earlier try has saved. */
async function appendRows(
  writer: ResultWriter,
  problem: Problem,
  rows: AsyncIterable<Cell[]>,
  knownRowCount: number,
): Promise<void> {
  let skip = knownRowCount;
  let waiting: Cell[][] = [];
  let timer: NodeJS.Timeout | undefined;
  let appended: Promise<void> = Promise.resolve();
  const appendWaiting = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    const taken = waiting;
    waiting = [];
    if (taken.length > 0) appended = appended.then(() => writer.append(toColumns(problem, taken)));
    // Its failure is seen by who awaits it next.
    appended.catch(() => undefined);
    return appended;
  };
  try {
    for await (const row of rows) {
      if (skip > 0) {
        skip--;
        continue;
      }
      waiting.push(row);
      if (waiting.length >= ROWS_PER_APPEND) await appendWaiting();
      else timer ??= setTimeout(() => void appendWaiting(), GATHER_MS);
    }
  } finally {
    await appendWaiting();
  }
  if (skip > 0)
    throw new InputError(
      `The input has ${skip} rows fewer than upload ${writer.uploadId} already has: it is not the same run.`,
    );
}
