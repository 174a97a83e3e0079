import { once } from 'node:events';
import { open, rename, rm } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { type LoadOptions, type ResultReader, type StoreRole } from '../../typescript/index.js';
import { connect } from '../connect.js';
import { csvHead, csvRows } from '../csv.js';
import { columnJson, problemJson } from '../json-table.js';
import { progressBar, type Progress } from '../progress.js';
import type { Problem } from '../../../proto/gen/optistore/v1/problem_pb.js';

/** Flags of `optistore load`. */
export interface LoadFlags {
  readonly server?: string;
  readonly output?: string;
  readonly columns?: string[];
  readonly rows?: [number, number?];
  readonly revision?: bigint;
  readonly set?: string;
  readonly follow?: boolean;
  readonly uploadId?: string;
  readonly from?: StoreRole;
}

/**
 * Loads a result to standard output or a file: CSV, or JSON where the file's name ends so. A save that is followed is printed
 * row by row as it is acked, until its commit; a file is whole then.
 */
export async function load(key: string, flags: LoadFlags): Promise<void> {
  await using client = connect(flags);
  const options: LoadOptions = {
    ...(flags.columns && { columns: flags.columns }),
    ...(flags.rows && { rows: flags.rows }),
    ...(flags.revision !== undefined && { revision: flags.revision }),
    ...(flags.set !== undefined && { resultSet: flags.set }),
    ...(flags.follow && {
      follow: true,
      onReconnect: (error) => process.stderr.write(`${error.message} Reconnecting.\n`),
    }),
    ...(flags.uploadId !== undefined && { uploadId: flags.uploadId }),
    ...(flags.from !== undefined && { from: flags.from }),
  };
  const reader = client.load(key, options);
  const { output } = flags;
  const write = output?.endsWith('.json') ? writeJson : writeCsv;
  if (output === undefined) {
    await write(reader, process.stdout, flags.follow === true);
    return;
  }
  // Under another name until it is whole: a broken load leaves no half file.
  const partial = `${output}.partial`;
  try {
    const file = (await open(partial, 'w')).createWriteStream();
    await write(reader, file, flags.follow === true);
    file.end();
    await once(file, 'finish');
    await rename(partial, output);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

async function writeCsv(reader: ResultReader, output: Writable, isLive: boolean): Promise<void> {
  const batches = reader[Symbol.asyncIterator]();
  let bar: Progress | undefined;
  try {
    let next = batches.next();
    next.catch(() => undefined);
    // The first rows of a save that is followed may be long in coming; its columns are printed before.
    if (!isLive) await next;
    const header = await reader.header();
    const names = header.variables.map((variable) => variable.name);
    await print(output, csvHead(names));
    bar = progressBar('loaded rows', header.rowCount === 0n ? undefined : Number(header.rowCount));
    for (let batch = await next; batch.done !== true; batch = await next) {
      await print(output, csvRows(batch.value, names));
      bar.update(batch.value.firstRow + batch.value.rowCount);
      next = batches.next();
    }
  } finally {
    bar?.stop();
    await batches.return(undefined);
  }
}

async function writeJson(reader: ResultReader, output: Writable): Promise<void> {
  const { header, columns } = await reader.toColumns();
  const problem = { ...(header.result?.problem as Problem), variables: header.variables };
  await print(output, `{"problem":${problemJson(problem)},"columns":{`);
  let separator = '';
  for (const [name, column] of Object.entries(columns)) {
    await print(output, `${separator}${JSON.stringify(name)}:${columnJson(column)}`);
    separator = ',';
  }
  await print(output, '}}\n');
}

async function print(output: Writable, text: string): Promise<void> {
  if (!output.write(text)) await once(output, 'drain');
}
