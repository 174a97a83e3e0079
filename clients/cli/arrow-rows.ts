import type { Data } from 'apache-arrow/data';
import type { RecordBatch } from 'apache-arrow/ipc/metadata/message';
import type { Schema } from 'apache-arrow/schema';
import type { DataType } from 'apache-arrow/type';
import { Vector } from 'apache-arrow/vector';
import { VectorLoader } from 'apache-arrow/visitor/vectorloader';
import type { Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import { checkType, columnOf } from './arrow-columns.js';
import { arrowMessages, type ArrowMessage } from './arrow-messages.js';
import { problemOfSchema } from './arrow-problem.js';
import { InputError } from './input-error.js';
import type { PeekedInput } from './peeked-input.js';
import { placesOf } from './input-columns.js';
import type { KnownRows, Part } from './row-source.js';

/** Of a batch so many values are handed on at a time: strings are made of them, and messages. */
const VALUES_PER_PART = 2 ** 19;
const ROWS_PER_PART_MAX = 16_384;

/** Rows of an Arrow IPC stream or file, batch by batch. */
export class ArrowRows {
  private readonly dictionaries = new Map<number, Vector>();

  private constructor(
    private readonly schema: Schema,
    private readonly messages: AsyncIterator<ArrowMessage>,
  ) {}

  /** Waits for the schema. InputError. */
  static async open(input: PeekedInput): Promise<ArrowRows> {
    const messages = arrowMessages(input);
    const first = await messages.next();
    const message = first.done === true ? undefined : first.value.message;
    if (!message?.isSchema()) throw new InputError('The Arrow input has no schema; it comes first.');
    return new ArrowRows(message.header(), messages);
  }

  /** The problem that the fields' metadata tells of. InputError. */
  problem(): Problem {
    return problemOfSchema(this.schema);
  }

  /** The columns of each batch, by name, behind the rows that are known. InputError before the first where they don't fit. */
  async *parts(problem: Problem, known: KnownRows): AsyncGenerator<Part, void> {
    const places = placesIn(this.schema, problem);
    const rowsPerPart = Math.min(Math.ceil(VALUES_PER_PART / (places.length + 1)), ROWS_PER_PART_MAX);
    let rowsBefore = 0;
    for await (const { rowCount, columns } of this.batches()) {
      for (let row = known.take(rowCount); row < rowCount; row += rowsPerPart) {
        const rows = { row, end: Math.min(row + rowsPerPart, rowCount), rowsBefore };
        const part = problem.variables.map((variable, i) => {
          const data = columns[places[i] ?? -1];
          if (data?.length !== rowCount)
            throw new InputError(`A batch of the Arrow input has no column "${variable.name}" of its length.`);
          return [variable.name, columnOf(variable, data, rows)] as const;
        });
        yield Object.fromEntries(part);
      }
      rowsBefore += rowCount;
    }
  }

  private async *batches(): AsyncGenerator<{ rowCount: number; columns: Data[] }, void> {
    for await (const { message, body } of { [Symbol.asyncIterator]: () => this.messages }) {
      if (message.isRecordBatch()) {
        const header = message.header();
        yield { rowCount: header.length, columns: this.load(header, body, this.schema.fields) };
      } else if (message.isDictionaryBatch()) {
        const { id, isDelta, data } = message.header();
        const type = this.schema.dictionaries.get(id);
        if (type === undefined) throw new InputError('The Arrow input has a dictionary that its schema has not.');
        const values = new Vector(this.load(data, body, [type]));
        const before = isDelta ? this.dictionaries.get(id) : undefined;
        this.dictionaries.set(id, before?.concat(values) ?? values);
      }
    }
  }

  private load(header: RecordBatch, body: Uint8Array, types: (DataType | Schema['fields'][number])[]): Data[] {
    const { nodes, buffers, variadicBufferCounts } = header;
    const { metadataVersion } = this.schema;
    try {
      const loader = new VectorLoader(body, nodes, buffers, this.dictionaries, metadataVersion, variadicBufferCounts);
      return loader.visitMany(types) as Data[];
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      throw new InputError(`A batch of the Arrow input can not be read: ${what}.`, { cause: error });
    }
  }
}

function placesIn({ fields }: Schema, problem: Problem): number[] {
  const names = fields.map(({ name }) => name);
  const places = placesOf(names, problem, 'Arrow');
  for (const [i, variable] of problem.variables.entries())
    checkType(variable, fields[places[i] as number]?.type as DataType);
  return places;
}
