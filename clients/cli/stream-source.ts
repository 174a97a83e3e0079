import { open, stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { ArrowRows } from './arrow-rows.js';
import { toColumns } from './cells.js';
import { readCsv } from './csv.js';
import { InputError } from './input-error.js';
import { formatOf, formatOfName, PARQUET_HEAD, type InputFormat } from './input-format.js';
import { readJsonTable } from './json-table.js';
import { readNdjson } from './ndjson.js';
import { PeekedInput } from './peeked-input.js';
import type { KnownRows, Part, RowSource } from './row-source.js';

/** Opens a file, or standard input for `-`. Its format is the one that is given, else that of its name, else that of its first bytes. */
export async function openSource(file: string, format: InputFormat | undefined): Promise<RowSource> {
  if (file.endsWith('.json') && format === undefined) return readJsonTable(file);
  const named = format ?? formatOfName(file);
  if (named === 'parquet' || (named === undefined && (await beginsAsParquet(file)))) {
    if (file === '-') throw new InputError(NO_STREAM);
    const { ParquetSource } = await import('./parquet-source.js');
    return await ParquetSource.open(file);
  }
  const input = file === '-' ? process.stdin : (await open(file)).createReadStream();
  return new StreamSource(input, named);
}

const NO_STREAM = 'Parquet is read from its end, and can not come as a stream. Name the file instead.';

/** Of a pipe nothing may be read twice. */
async function beginsAsParquet(path: string): Promise<boolean> {
  if (path === '-' || !(await stat(path)).isFile()) return false;
  const file = await open(path);
  try {
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
    return buffer.equals(PARQUET_HEAD);
  } finally {
    await file.close();
  }
}

type StreamFormat = Exclude<InputFormat, 'parquet'>;

class StreamSource implements RowSource {
  private readonly peeked: PeekedInput;
  private arrow: Promise<ArrowRows> | undefined;

  constructor(
    private readonly input: Readable,
    private known: InputFormat | undefined,
  ) {
    this.peeked = new PeekedInput(input);
  }

  /** Its first bytes are there to be looked at until it is read. */
  private async format(): Promise<StreamFormat> {
    const format = (this.known ??= await formatOf(this.peeked));
    if (format === 'parquet') throw new InputError(NO_STREAM);
    return format;
  }

  async problem(): Promise<Problem | undefined> {
    return (await this.format()) === 'arrow' ? (await this.openArrow()).problem() : undefined;
  }

  async *parts(problem: Problem, known: KnownRows): AsyncGenerator<Part, void> {
    const format = await this.format();
    if (format === 'arrow') {
      yield* (await this.openArrow()).parts(problem, known);
      return;
    }
    const groups = format === 'csv' ? readCsv(this.peeked, problem) : readNdjson(this.peeked, problem);
    for await (const group of groups) {
      const rows = group.slice(known.take(group.length));
      if (rows.length > 0) yield toColumns(problem, rows);
    }
  }

  /** Loaded only where it is needed: it takes longer than all else of the command. */
  private openArrow(): Promise<ArrowRows> {
    this.arrow ??= import('./arrow-rows.js').then(({ ArrowRows }) => ArrowRows.open(this.peeked));
    return this.arrow;
  }

  /** Who prints into the pipe is told by its end that nobody reads on. */
  [Symbol.asyncDispose](): Promise<void> {
    this.input.destroy();
    return Promise.resolve();
  }
}
