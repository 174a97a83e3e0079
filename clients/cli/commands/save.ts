import type { Problem } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { ResultSchema } from '../../../proto/gen/optistore/v1/result_pb.js';
import {
  ReplicationState,
  type OptistoreClient,
  type Result,
  type ResultWriter,
  type SaveOptions,
} from '../../typescript/index.js';
import { connect } from '../connect.js';
import type { InputFormat } from '../input-format.js';
import { failedSave, keptHint } from '../kept-upload.js';
import { tellLostDaemon } from '../lost-daemon.js';
import { progressBar } from '../progress.js';
import type { RowSource } from '../row-source.js';
import { appendRows, problemOf, readProblem } from '../save-rows.js';
import { print, printMessage } from '../stdout.js';
import { openSource } from '../stream-source.js';
import { atSignal } from '../terminal/at-signal.js';
import { counted, timeOf } from '../words.js';

/** Flags of `optistore save`. */
export interface SaveFlags {
  readonly server?: string;
  readonly json?: boolean;
  readonly problem?: string;
  readonly format?: InputFormat;
  readonly tag?: Record<string, string>;
  readonly uploadId?: string;
  readonly description?: string;
  readonly expectedRevision?: bigint;
  readonly append?: boolean;
  readonly replicate?: boolean | 'sync';
  readonly to?: 'primary' | 'cache';
}

/** What a commit's answer says of the copy in the secondary. */
const REPLICATED: Record<ReplicationState, string> = {
  [ReplicationState.UNSPECIFIED]: '',
  [ReplicationState.NONE]: '',
  [ReplicationState.PENDING]: ', will be copied to the secondary',
  [ReplicationState.DONE]: ', copied to the secondary',
  [ReplicationState.FAILED]: ', could not be copied to the secondary: see optistore status',
};

/** Saves the rows of a file, or those of standard input as they are printed, under a key. */
export async function save(key: string, file: string, flags: SaveFlags): Promise<void> {
  // Opened before the upload is: a file that is not there leaves nothing behind.
  await using source = await openSource(file, flags.format);
  await using client = connect(flags);
  const base = flags.append === true ? await client.getResult(key) : undefined;
  const given = flags.problem === undefined ? undefined : await readProblem(flags.problem);
  // Where one is given, the upload is open before the solver prints its first row.
  const problem = base?.problem ?? (await problemOf(source, given));
  const bar = progressBar('saved rows');
  let result: Result;
  try {
    const options: SaveOptions = {
      onAck: (durable) => bar.update(durable),
      ...tellLostDaemon(),
      ...optionsOf(flags),
    };
    const writer = await (base === undefined ? client.save(key, problem, options) : client.append(key, options));
    result = await saveRows(client, writer, problem, source, Number(base?.rowCount ?? 0));
  } finally {
    bar.stop();
  }
  tell(result, flags);
}

/** Saves what the input has behind the rows of the key, and commits it. What fails, or a signal, tells what is kept. */
async function saveRows(
  client: OptistoreClient,
  writer: ResultWriter,
  problem: Problem,
  source: RowSource,
  baseCount: number,
): Promise<Result> {
  const telling = atSignal(() => {
    const hint = keptHint(writer, baseCount);
    if (hint !== undefined) process.stderr.write(`${hint}\n`);
  });
  try {
    if (writer.committed === undefined) await appendRows(writer, problem, source, writer.nextRow - baseCount);
    else tellKnown(writer.uploadId, writer.committed);
    return await writer.commit();
  } catch (error) {
    // Why it could not be saved matters more.
    await writer.close().catch(() => undefined);
    throw await failedSave(client, writer, baseCount, error);
  } finally {
    telling[Symbol.dispose]();
  }
}

/** A save that is tried again after its commit succeeds; another run with the same id must not take that for its own. */
function tellKnown(uploadId: string, { key, revision, rowCount, commitTime }: Result): void {
  process.stderr.write(
    `Upload ${uploadId} was committed already, at ${timeOf(commitTime)}, as revision ${revision} of ${key} with ${counted(rowCount, 'row')}: nothing was read. Another run takes another --upload-id.\n`,
  );
}

function optionsOf(flags: SaveFlags): SaveOptions {
  return {
    ...(flags.tag && { tags: flags.tag }),
    ...(flags.uploadId !== undefined && { uploadId: flags.uploadId }),
    ...(flags.description !== undefined && { description: flags.description }),
    ...(flags.expectedRevision !== undefined && { expectedRevision: flags.expectedRevision }),
    ...(flags.replicate !== undefined && { replicate: flags.replicate }),
    ...(flags.to !== undefined && { to: flags.to }),
  };
}

function tell(result: Result, { json }: SaveFlags): void {
  if (json) printMessage(ResultSchema, result);
  else
    print(
      `${result.key}: ${counted(result.rowCount, 'row')}, revision ${result.revision}${REPLICATED[result.replication]}`,
    );
}
