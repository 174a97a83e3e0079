import type { Writable } from 'node:stream';
import type { Problem } from '../../../proto/gen/optistore/v1/problem_pb.js';
import type { ResultReader } from '../../typescript/index.js';
import { csvHead, csvRows } from '../csv.js';
import { cellJson, columnJson, problemJson } from '../json-table.js';
import type { BegunLoad } from './begun-load.js';
import { print } from './byte-output.js';

/** CSV: a head, then the rows as they come. */
export async function writeCsv({ header, batches }: BegunLoad, output: Writable): Promise<void> {
  const names = header.variables.map(({ name }) => name);
  await print(output, csvHead(names));
  for await (const batch of batches) await print(output, csvRows(batch, names));
}

/** An object a row, with all columns; null is missing. */
export async function writeNdjson({ header, batches }: BegunLoad, output: Writable): Promise<void> {
  const names = header.variables.map(({ name }) => name);
  const heads = names.map((name, i) => `${i === 0 ? '{' : ','}${JSON.stringify(name)}:`);
  for await (const { columns, rowCount } of batches) {
    const ordered = names.map((name) => columns[name]);
    let lines = '';
    for (let row = 0; row < rowCount; row++) {
      for (const [i, column] of ordered.entries()) lines += `${heads[i]}${column ? cellJson(column, row) : 'null'}`;
      lines += names.length === 0 ? '{}\n' : '}\n';
    }
    await print(output, lines);
  }
}

/** The problem and the columns, one after the other: they are all in memory before. */
export async function writeJson(reader: ResultReader, output: Writable): Promise<void> {
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
