import { toJson } from '@bufbuild/protobuf';
import { ResultSchema } from '../../../proto/gen/optistore/v1/result_pb.js';
import {
  BackendState,
  GetStatusResponseSchema,
  UploadSchema,
  type GetStatusResponse,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { Backend, type DeleteOptions } from '../../typescript/index.js';
import { connect } from '../connect.js';
import { shownResult } from '../shown-result.js';
import { print, printJson, printMessage } from '../stdout.js';
import { whereItIs } from '../where-it-is.js';
import { counted, megabytes, timeOf } from '../words.js';

/** Flags that every command has. */
export interface CommonFlags {
  readonly server?: string;
  readonly json?: boolean;
}

/** Tells once that a list may be lacking something, beside it and not in it. */
function warnOnce(): (stores: readonly string[]) => void {
  let isTold = false;
  return (stores) => {
    if (!isTold)
      process.stderr.write(`The ${stores.join(' and the ')} can't be asked: results may be lacking or old.\n`);
    isTold = true;
  };
}

/** That nothing was found, to people alone: a pipe gets no line for it. */
function tellNone(text: string): void {
  if (process.stdout.isTTY) process.stderr.write(`${text}\n`);
}

/** `optistore list` */
export async function list(
  prefix: string,
  flags: CommonFlags & { tag?: Record<string, string>; filter?: string; orderBy?: string },
): Promise<void> {
  await using client = connect(flags);
  const results = [];
  let isEmpty = true;
  const query = {
    prefix,
    ...(flags.tag && { tags: flags.tag }),
    ...(flags.filter !== undefined && { filter: flags.filter }),
    ...(flags.orderBy !== undefined && { orderBy: flags.orderBy }),
    onUnreachable: warnOnce(),
  };
  for await (const result of client.listResults(query)) {
    isEmpty = false;
    if (flags.json) results.push(toJson(ResultSchema, result));
    else
      print(
        [
          result.key,
          `${result.rowCount} rows`,
          megabytes(result.sizeBytes),
          `revision ${result.revision}`,
          timeOf(result.commitTime),
        ].join('\t'),
      );
  }
  if (flags.json) printJson({ results });
  else if (isEmpty) tellNone('No results.');
}

/** `optistore show` */
export async function show(key: string, flags: CommonFlags): Promise<void> {
  await using client = connect(flags);
  const result = await client.getResult(key).catch(async (error: unknown) => {
    throw await whereItIs(client, key, { command: 'show' }, error);
  });
  if (flags.json) return printMessage(ResultSchema, result);
  for (const line of shownResult(result)) print(line);
}

/** `optistore delete` */
export async function remove(key: string, flags: CommonFlags & DeleteOptions): Promise<void> {
  await using client = connect(flags);
  const { from } = flags;
  const revision = await client.deleteResult(key, flags);
  if (flags.json) return printJson({ key, revision: `${revision}`, ...(from !== undefined && { from }) });
  print(
    from === undefined
      ? `${key}: deleted, revision ${revision}`
      : `${key}: revision ${revision} is no longer in the ${from}`,
  );
}

/** `optistore uploads` */
export async function uploads(flags: CommonFlags): Promise<void> {
  await using client = connect(flags);
  const found = [];
  let isEmpty = true;
  for await (const upload of client.listUploads()) {
    isEmpty = false;
    if (flags.json) found.push(toJson(UploadSchema, upload));
    else
      print(
        [
          upload.uploadId,
          upload.key,
          `${upload.durableRowCount} rows`,
          upload.hasStream ? 'connected' : `expires ${timeOf(upload.expireTime)}`,
        ].join('\t'),
      );
  }
  if (flags.json) printJson({ uploads: found });
  else if (isEmpty) tellNone('No saves in progress.');
}

/** `optistore uploads abort` */
export async function abortUpload(uploadId: string, flags: CommonFlags): Promise<void> {
  await using client = connect(flags);
  await client.abortUpload(uploadId);
  if (flags.json) return printJson({ uploadId });
  print(`${uploadId}: aborted`);
}

/** `optistore status` */
export async function status(flags: CommonFlags): Promise<void> {
  await using client = connect(flags);
  const answer = await client.getStatus();
  if (flags.json) return printMessage(GetStatusResponseSchema, answer);
  print(`optistore ${answer.version}, since ${timeOf(answer.startTime)}`);
  for (const backend of answer.backends) {
    print(
      `${Backend[backend.role].toLowerCase()}: ${backend.type}, ${BackendState[backend.state].toLowerCase()}, ${counted(backend.resultCount, 'result')}, ${megabytes(backend.sizeBytes)} ${backend.message}`,
    );
  }
  if (answer.cache !== undefined) {
    const { sizeBytes, limitBytes, hitCount, missCount } = answer.cache;
    print(`recently used: ${megabytes(sizeBytes)} of ${megabytes(limitBytes)}, ${hitCount} hits, ${missCount} misses`);
  }
  printSecondary(answer);
  if (answer.scrub !== undefined) {
    const { checkedCount, corruptCount, repairedCount, lastEndTime, lastFailure } = answer.scrub;
    const failed = lastFailure === '' ? '' : `; the last pass failed: ${lastFailure}`;
    print(
      `scrub: last complete ${timeOf(lastEndTime)}, ${counted(checkedCount, 'copy', 'copies')} checked, ` +
        `${corruptCount} corrupt or missing, ${repairedCount} repaired${failed}`,
    );
  }
  print(`${counted(answer.uploadCount, 'upload')} in progress, ${counted(answer.streamCount, 'stream')}`);
}

function printSecondary({ replication, fallback }: GetStatusResponse): void {
  if (replication === undefined || fallback === undefined) return;
  const { pendingCount, oldestPendingTime, copiedCount, failureCount, lastFailure } = replication;
  const since = oldestPendingTime === undefined ? '' : ` (since ${timeOf(oldestPendingTime)})`;
  print(`replication: ${pendingCount} waiting${since}, ${copiedCount} copied, ${failureCount} failures ${lastFailure}`);
  const { fallbackCount, continuedCount, repairedCount, repairFailureCount, circuitOpen } = fallback;
  print(
    `fallback: ${fallbackCount} calls, ${continuedCount} loads continued, ${repairedCount} repaired, ${repairFailureCount} repairs failed${circuitOpen ? '; the primary is taken for dead' : ''}`,
  );
}
