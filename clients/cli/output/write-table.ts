import type { Writable } from 'node:stream';
import type { LoadedBatch, ResultReader } from '../../typescript/index.js';
import type { LoadHeader } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { beginLoad, type BegunLoad } from './begun-load.js';
import type { OutputFormat } from './output-format.js';
import { writeCsv, writeJson, writeNdjson } from './text-tables.js';

/** How rows are written. */
export interface WriteOptions {
  /** Rows come as they are acked: each is written at once. */
  readonly isLive?: boolean;
  /** Told of the header, and of the rows that are written; not of JSON, which is written when all are there. */
  onHeader?(header: LoadHeader): void;
  onRows?(rowCount: number): void;
}

/** Writes what is loaded in a format; gives the header. Packages that a format needs are loaded with the first table of it. */
export async function writeTable(
  reader: ResultReader,
  format: OutputFormat,
  output: Writable,
  options: WriteOptions = {},
): Promise<LoadHeader> {
  if (format === 'json') {
    await writeJson(reader, output);
    return await reader.header();
  }
  const { header, batches } = await beginLoad(reader, options.isLive === true);
  options.onHeader?.(header);
  await writeBegun({ header, batches: counted(batches, options) }, format, output);
  return header;
}

async function writeBegun(load: BegunLoad, format: Exclude<OutputFormat, 'json'>, output: Writable): Promise<void> {
  switch (format) {
    case 'csv':
      return await writeCsv(load, output);
    case 'ndjson':
      return await writeNdjson(load, output);
    case 'arrow':
    case 'arrows': {
      const { writeArrow } = await import('./arrow.js');
      return await writeArrow(load, output, format === 'arrow' ? 'file' : 'stream');
    }
    case 'parquet': {
      const { writeParquet } = await import('./parquet.js');
      return await writeParquet(load, output);
    }
    default:
      return format satisfies never;
  }
}

async function* counted(batches: AsyncIterable<LoadedBatch>, options: WriteOptions): AsyncGenerator<LoadedBatch, void> {
  let rowCount = 0;
  for await (const batch of batches) {
    yield batch;
    rowCount += batch.rowCount;
    options.onRows?.(rowCount);
  }
}
