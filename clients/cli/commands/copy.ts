import { ResultSchema } from '../../../proto/gen/optistore/v1/result_pb.js';
import { connect } from '../connect.js';
import { progressBar } from '../progress.js';
import { print, printMessage } from '../stdout.js';
import { counted } from '../words.js';

/** Flags of `optistore copy` and `optistore move`. */
export interface CopyFlags {
  readonly server?: string;
  readonly json?: boolean;
  readonly revision?: bigint;
  readonly expectedRevision?: bigint;
}

/** `optistore copy` */
export async function copy(key: string, toKey: string, flags: CopyFlags): Promise<void> {
  await transfer('copied', key, toKey, flags);
}

/** `optistore move` */
export async function move(key: string, toKey: string, flags: CopyFlags): Promise<void> {
  await transfer('moved', key, toKey, flags);
}

async function transfer(done: 'copied' | 'moved', key: string, toKey: string, flags: CopyFlags): Promise<void> {
  await using client = connect(flags);
  const { revision, expectedRevision } = flags;
  let bar: ReturnType<typeof progressBar> | undefined;
  const options = {
    onProgress: (copied: number, rowCount: number) => (bar ??= progressBar(`${done} rows`, rowCount)).update(copied),
    ...(expectedRevision !== undefined && { expectedRevision }),
  };
  try {
    const result =
      done === 'moved'
        ? await client.moveResult(key, toKey, options)
        : await client.copyResult(key, toKey, { ...options, ...(revision !== undefined && { revision }) });
    bar?.stop();
    if (flags.json) printMessage(ResultSchema, result);
    else print(`${key} → ${toKey}: ${done}, ${counted(result.rowCount, 'row')}, revision ${result.revision}`);
  } finally {
    bar?.stop();
  }
}
