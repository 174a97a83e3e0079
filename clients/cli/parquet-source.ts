import { isUtf8 } from 'node:buffer';
import { open, type FileHandle } from 'node:fs/promises';
import { Message } from 'apache-arrow/ipc/metadata/message';
import { Schema } from 'apache-arrow/schema';
import { parquetMetadataAsync, parquetRead, type AsyncBuffer, type FileMetaData } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import type { Problem, Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { problemOfSchema } from './arrow-problem.js';
import { placesOf } from './input-columns.js';
import { InputError } from './input-error.js';
import { checkParquetType, columnOfParquet, fieldOf, type ParquetValues } from './parquet-columns.js';
import type { KnownRows, Part, RowSource } from './row-source.js';

/** Of a group of rows so many values are handed on at a time. */
const VALUES_PER_PART = 2 ** 19;
const ROWS_PER_PART_MAX = 16_384;

/** Rows of a file of Parquet, a group of rows at a time. */
export class ParquetSource implements RowSource {
  private constructor(
    private readonly file: FileHandle,
    private readonly bytes: AsyncBuffer,
    private readonly metadata: FileMetaData,
  ) {}

  /** Reads what stands at its end. InputError. */
  static async open(path: string): Promise<ParquetSource> {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      const bytes = { byteLength: size, slice: (start: number, end = size) => sliceOf(file, start, end) };
      return new ParquetSource(file, bytes, await parquetMetadataAsync(bytes));
    } catch (error) {
      await file.close();
      throw unreadable(error);
    }
  }

  problem(): Promise<Problem> {
    const metadata = new Map(
      (this.metadata.key_value_metadata ?? []).map(({ key, value }) => [key, value ?? ''] as const),
    );
    const arrow = metadata.get('ARROW:schema');
    const schema = arrow === undefined ? this.schema() : arrowSchemaOf(arrow);
    const whole = new Schema(schema.fields, new Map([...schema.metadata, ...metadata]));
    return Promise.resolve(problemOfSchema(whole));
  }

  /** As far as Parquet itself tells it. */
  private schema(): Schema {
    return new Schema(this.columns().map(fieldOf));
  }

  /** Its columns; of nested ones the outermost. */
  private columns(): FileMetaData['schema'] {
    const [root, ...elements] = this.metadata.schema;
    const columns: FileMetaData['schema'] = [];
    for (let i = 0; columns.length < (root?.num_children ?? 0) && i < elements.length;) {
      const element = elements[i];
      if (element !== undefined) columns.push(element);
      for (let inside = 1; inside > 0 && i < elements.length; i++) inside += (elements[i]?.num_children ?? 0) - 1;
    }
    return columns;
  }

  async *parts(problem: Problem, known: KnownRows): AsyncGenerator<Part, void> {
    const { variables } = problem;
    const elements = this.columns();
    const places = placesOf(
      elements.map(({ name }) => name),
      problem,
      'Parquet',
    );
    for (const [i, variable] of variables.entries())
      checkParquetType(variable, elements[places[i] as number] as (typeof elements)[number]);
    const rowsPerPart = Math.min(Math.ceil(VALUES_PER_PART / (variables.length + 1)), ROWS_PER_PART_MAX);
    let rowsBefore = 0;
    for (const group of this.metadata.row_groups) {
      const rowCount = Number(group.num_rows);
      let row = known.take(rowCount);
      const columns = row < rowCount ? await this.read(rowsBefore, rowCount) : new Map<string, ParquetValues[]>();
      for (; row < rowCount; row += rowsPerPart) {
        const rows = { row, end: Math.min(row + rowsPerPart, rowCount), rowsBefore };
        const part = variables.map((variable) => [variable.name, columnOf(variable, columns, rows)] as const);
        yield Object.fromEntries(part);
      }
      rowsBefore += rowCount;
    }
  }

  /** The columns of a group of rows, in the pieces that they come in. InputError. */
  private async read(rowStart: number, rowCount: number): Promise<Map<string, ParquetValues[]>> {
    const columns = new Map<string, ParquetValues[]>();
    try {
      await parquetRead({
        ...{ file: this.bytes, metadata: this.metadata, compressors, rowStart, rowEnd: rowStart + rowCount },
        parsers: { stringFromBytes: textOf },
        onChunk: ({ columnName, columnData }) => {
          columns.set(columnName, [...(columns.get(columnName) ?? []), columnData as ParquetValues]);
        },
      });
    } catch (error) {
      throw unreadable(error);
    }
    return columns;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.file.close();
  }
}

function columnOf(
  variable: Variable,
  columns: ReadonlyMap<string, readonly ParquetValues[]>,
  rows: { readonly row: number; readonly end: number; readonly rowsBefore: number },
) {
  return columnOfParquet(variable, columns.get(variable.name) ?? [], rows);
}

async function sliceOf(file: FileHandle, start: number, end: number): Promise<ArrayBuffer> {
  const bytes = Buffer.from(new ArrayBuffer(Math.max(end - start, 0)));
  const { bytesRead } = await file.read(bytes, 0, bytes.byteLength, start);
  if (bytesRead < bytes.byteLength) throw new InputError('The Parquet file breaks off: it became shorter meanwhile.');
  return bytes.buffer;
}

function arrowSchemaOf(base64: string): Schema {
  // Continuation mark and length come first.
  try {
    return Message.decode(Buffer.from(base64, 'base64').subarray(8)).header() as Schema;
  } catch (error) {
    throw unreadable(error);
  }
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  if (!isUtf8(bytes)) throw new InputError('The Parquet file has a text that is not UTF-8.');
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function unreadable(error: unknown): Error {
  if (error instanceof InputError || (error instanceof Error && 'syscall' in error)) return error;
  const what = error instanceof Error ? error.message : String(error);
  return new InputError(
    `The Parquet file can not be read: ${what}. It may be cut short, or be encrypted; pyarrow.parquet.read_table tells more.`,
    { cause: error },
  );
}
