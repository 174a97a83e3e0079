import { once } from 'node:events';
import { open, rename, rm } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { type LoadOptions, type ResultReader, type StoreRole } from '../../typescript/index.js';
import { connect } from '../connect.js';
import { csvHead, csvRows } from '../csv.js';
import { columnJson, problemJson } from '../json-table.js';
import { progressBar } from '../progress.js';
import type { Problem } from '../../../proto/gen/optistore/v1/problem_pb.js';

/** Flags of `optistore load`. */
export interface LoadFlags {
  readonly server?: string;
  readonly output?: string;
  readonly columns?: string[];
  readonly rows?: [number, number?];
  readonly revision?: bigint;
  readonly set?: string;
  readonly from?: StoreRole;
}

/** Loads a result to standard output or a file: CSV, or JSON where the file's name ends so. */
export async function load(key: string, flags: LoadFlags): Promise<void> {
  await using client = connect(flags);
  const options: LoadOptions = {
    ...(flags.columns && { columns: flags.columns }),
    ...(flags.rows && { rows: flags.rows }),
    ...(flags.revision !== undefined && { revision: flags.revision }),
    ...(flags.set !== undefined && { resultSet: flags.set }),
    ...(flags.from !== undefined && { from: flags.from }),
  };
  const reader = client.load(key, options);
  const { output } = flags;
  const write = output?.endsWith('.json') ? writeJson : writeCsv;
  if (output === undefined) {
    await write(reader, process.stdout);
    return;
  }
  // Under another name until it is whole: a broken load leaves no half file.
  const partial = `${output}.partial`;
  try {
    const file = (await open(partial, 'w')).createWriteStream();
    await write(reader, file);
    file.end();
    await once(file, 'finish');
    await rename(partial, output);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

async function writeCsv(reader: ResultReader, output: Writable): Promise<void> {
  let bar: ReturnType<typeof progressBar> | undefined;
  let names: string[] = [];
  try {
    for await (const batch of reader) {
      if (bar === undefined) {
        const header = await reader.header();
        names = header.variables.map((variable) => variable.name);
        await print(output, csvHead(names));
        bar = progressBar('loaded rows', Number(header.rowCount));
      }
      await print(output, csvRows(batch, names));
      bar.update(batch.firstRow + batch.rowCount);
    }
    if (bar === undefined)
      await print(output, csvHead((await reader.header()).variables.map((variable) => variable.name)));
  } finally {
    bar?.stop();
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
