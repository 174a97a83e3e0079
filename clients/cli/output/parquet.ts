import type { Writable } from 'node:stream';
import type { ColumnSource, Writer } from 'hyparquet-writer/src/types.js';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { compressSync } from 'snappy';
import { ValueType, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { arrowSchema, encodeSchema } from '../../../server/rows/arrow-ipc.js';
import { valueAt, type LoadedBatch, type LoadedColumn } from '../../typescript/index.js';
import { aboutResult } from './about.js';
import type { BegunLoad } from './begun-load.js';
import { print } from './byte-output.js';
import { SparseDoubles } from './sparse-doubles.js';

/** A row group is held in memory, and what reads it does so whole. */
const GROUP_BYTES_MAX = 32 * 2 ** 20;
const GROUP_ROWS_MAX = 2 ** 20;

type SchemaElement = ConstructorParameters<typeof ParquetWriter>[0]['schema'][number];

/** Parquet, a row group at a time. What pyarrow reads has the same metadata of fields as Arrow. */
export async function writeParquet({ header, batches }: BegunLoad, output: Writable): Promise<void> {
  const { variables } = header;
  const about = aboutResult(header);
  const writer = groupWriter(output);
  const parquet = new ParquetWriter({
    writer,
    schema: [{ name: 'schema', num_children: variables.length }, ...variables.map(elementOf)],
    compressors: { SNAPPY: (bytes) => compressSync(bytes) },
    kvMetadata: [
      ...Array.from(about, ([key, value]) => ({ key, value })),
      { key: 'ARROW:schema', value: encodeSchema(arrowSchema(variables, about)).toString('base64') },
    ],
    createdBy: 'optistore',
  });
  for await (const group of groupsOf(batches)) {
    const columnData = variables.map((variable) => columnOf(variable, group));
    await parquet.write({ columnData, rowGroupSize: GROUP_ROWS_MAX });
  }
  // Metadata is behind all groups: hyparquet-writer calls its writer's `finish`, which waits for the output.
  await parquet.finish();

  function groupWriter(to: Writable): Writer {
    const bytes = new ByteWriter();
    const drain = async () => {
      const chunk = bytes.getBytes().slice();
      bytes.index = 0;
      await print(to, chunk);
    };
    return Object.assign(bytes, { flush: drain, finish: drain });
  }
}

function elementOf({ name, valueType }: Variable): SchemaElement {
  const repetition_type = 'OPTIONAL';
  switch (valueType) {
    case ValueType.FLOAT64:
      return { name, type: 'DOUBLE', repetition_type };
    case ValueType.INT64:
      return { name, type: 'INT64', repetition_type };
    case ValueType.BOOL:
      return { name, type: 'BOOLEAN', repetition_type };
    case ValueType.STRING:
      return { name, type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' }, repetition_type };
    case ValueType.UNSPECIFIED:
      throw new RangeError('a loaded column has a type');
    default:
      return valueType satisfies never;
  }
}

async function* groupsOf(batches: AsyncIterable<LoadedBatch>): AsyncGenerator<LoadedBatch[], void> {
  let group: LoadedBatch[] = [];
  let [bytes, rows] = [0, 0];
  for await (const batch of batches) {
    const batchBytes = bytesOf(batch);
    if (group.length > 0 && (bytes + batchBytes > GROUP_BYTES_MAX || rows + batch.rowCount > GROUP_ROWS_MAX)) {
      yield group;
      group = [];
      [bytes, rows] = [0, 0];
    }
    group.push(batch);
    bytes += batchBytes;
    rows += batch.rowCount;
  }
  if (group.length > 0) yield group;
}

function bytesOf({ columns }: LoadedBatch): number {
  let bytes = 0;
  for (const { values } of Object.values(columns))
    bytes += 'byteLength' in values ? values.byteLength : values.reduce((sum, text) => sum + text.length, 0);
  return bytes;
}

/**
 * A dictionary would take −0 for 0 and one NaN for all others; doubles seldom repeat anyway. Strings and integers may have
 * one.
 */
function columnOf(variable: Variable, group: readonly LoadedBatch[]): ColumnSource {
  const { name, valueType } = variable;
  const parts = group.map(({ columns }) => columns[name] as LoadedColumn);
  const data = dataOf(valueType, parts);
  return { name, data, ...(valueType === ValueType.FLOAT64 && { encoding: 'PLAIN' }) };
}

function dataOf(valueType: ValueType, parts: readonly LoadedColumn[]): ColumnSource['data'] {
  const isWhole = parts.every(({ validity }) => validity === undefined);
  if (valueType === ValueType.FLOAT64) return isWhole ? joined(parts, Float64Array) : SparseDoubles.of64(parts);
  if (valueType === ValueType.INT64 && isWhole) return joined(parts, BigInt64Array);
  return parts.flatMap((column) => Array.from({ length: column.values.length }, (_, row) => valueAt(column, row)));
}

function joined(
  parts: readonly LoadedColumn[],
  Numbers: typeof Float64Array | typeof BigInt64Array,
): Float64Array | BigInt64Array {
  const whole = new Numbers(parts.reduce((sum, { values }) => sum + values.length, 0));
  let at = 0;
  for (const { values } of parts) {
    (whole as Float64Array).set(values as Float64Array, at);
    at += values.length;
  }
  return whole;
}
