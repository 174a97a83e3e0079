import type { LoadHeader } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import type { ResultReader } from '../../typescript/index.js';
import { InputError } from '../input-error.js';
import { progressBar, type Progress } from '../progress.js';
import { isText, type OutputFormat } from './output-format.js';
import { writeWhole } from './whole-file.js';
import { writeTable } from './write-table.js';

/** Where to and how a load is written. */
export interface LoadTarget {
  readonly format: OutputFormat;
  /** A file. Undefined: standard output. */
  readonly file: string | undefined;
  /** A save that is followed. */
  readonly isLive?: boolean;
}

/** Writes a load to a file, which is whole then, or to standard output, with a bar on a terminal. InputError for bytes to a terminal. */
export async function loadTo(reader: ResultReader, { format, file, isLive = false }: LoadTarget): Promise<LoadHeader> {
  if (file === undefined && process.stdout.isTTY && !isText(format))
    throw new InputError(`${format} is nothing that a terminal shows. Name a file with -o, or send it to a pipe.`);
  let bar: Progress | undefined;
  const options = {
    isLive,
    onHeader: ({ rowCount }: LoadHeader) => {
      bar = progressBar('loaded rows', rowCount === 0n ? undefined : Number(rowCount));
    },
    onRows: (rowCount: number) => bar?.update(rowCount),
  };
  try {
    if (file === undefined) return await writeTable(reader, format, process.stdout, options);
    let header: LoadHeader | undefined;
    await writeWhole(file, async (output) => {
      header = await writeTable(reader, format, output, options);
    });
    return header as unknown as LoadHeader;
  } finally {
    bar?.stop();
  }
}
