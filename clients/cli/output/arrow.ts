import type { Writable } from 'node:stream';
import { ValueType } from '../../../proto/gen/optistore/v1/problem_pb.js';
import {
  arrowSchema,
  encodeBatch,
  encodeHead,
  encodeSchema,
  encodeStreamEnd,
  encodeTail,
  type BatchPlace,
} from '../../../server/rows/arrow-ipc.js';
import { schemaOf, type Column } from '../../../server/rows/batch.js';
import { encodeColumns, valueAt, type LoadedColumn } from '../../../server/rows/columns.js';
import { aboutResult } from './about.js';
import type { BegunLoad } from './begun-load.js';
import { print } from './byte-output.js';

/** An Arrow IPC file, with its footer, or a stream: a record batch for each batch that comes. */
export async function writeArrow(
  { header, batches }: BegunLoad,
  output: Writable,
  form: 'file' | 'stream',
): Promise<void> {
  const { variables } = header;
  const schema = schemaOf(variables);
  const arrow = arrowSchema(variables, aboutResult(header));
  const head = form === 'file' ? encodeHead(arrow) : encodeSchema(arrow);
  await print(output, head);
  const places: BatchPlace[] = [];
  let offset = head.byteLength;
  for await (const { firstRow, rowCount, columns } of batches) {
    const encoded = variables.map(({ name }) => encodeLoaded(columns[name] as LoadedColumn));
    const { buffers, headerBytes, blockBytes } = encodeBatch(schema, { firstRow, rowCount, columns: encoded });
    for (const buffer of buffers) await print(output, buffer);
    places.push({ offset, headerBytes, blockBytes });
    offset += blockBytes;
  }
  await print(output, form === 'file' ? encodeTail(arrow, places) : encodeStreamEnd());
}

/** Numbers and bools are used where they lie. */
function encodeLoaded(column: LoadedColumn): Column {
  const { variable, values, validity } = column;
  if (variable.valueType !== ValueType.STRING) {
    const { buffer, byteOffset, byteLength } = values as Exclude<LoadedColumn['values'], readonly string[]>;
    return { values: new Uint8Array(buffer, byteOffset, byteLength), offsets: undefined, validity };
  }
  const cells = Array.from({ length: values.length }, (_, row) => valueAt(column, row));
  return encodeColumns([variable], { [variable.name]: cells }).columns[0] as Column;
}
