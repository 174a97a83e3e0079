import { toJsonString } from '@bufbuild/protobuf';
import {
  ReplicateResultsResponseSchema,
  type MigrateStoreResponse,
  type ReplicateResultsResponse,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { connect } from '../connect.js';
import { progressBar } from '../progress.js';
import { print } from '../stdout.js';
import type { CommonFlags } from './catalogue.js';

/**
 * `optistore replicate`: copies to the secondary what it lacks. What could not be copied is named, and makes the command end
 * with 1.
 */
export async function replicate(prefix: string, flags: CommonFlags): Promise<void> {
  await using client = connect(flags);
  const asJson = (response: ReplicateResultsResponse) => toJsonString(ReplicateResultsResponseSchema, response);
  const { last, failedCount } = await follow(client.replicate({ prefix }), flags.json === true ? asJson : undefined);
  if (failedCount > 0) process.exitCode = 1;
  if (last === undefined) return;
  print(flags.json === true ? asJson(last) : summary(last, failedCount));
}

/** Shows how far the copying to the secondary is, and prints each failure; gives the last response, and how many failed. */
export async function follow<Response extends ReplicateResultsResponse | MigrateStoreResponse>(
  responses: AsyncIterable<Response>,
  toJson: ((response: Response) => string) | undefined,
): Promise<{ last: Response | undefined; failedCount: number }> {
  let bar: ReturnType<typeof progressBar> | undefined;
  const failed = new Set<string>();
  let last: Response | undefined;
  try {
    for await (const response of responses) {
      last = response;
      bar ??= progressBar('looked at', Number(response.totalCount) || undefined);
      bar.update(Number(response.doneCount));
      if (response.failure === '') continue;
      failed.add(response.key);
      print(toJson === undefined ? `${response.key}: ${response.failure}` : toJson(response));
    }
  } finally {
    bar?.stop();
  }
  return { last, failedCount: failed.size };
}

/** What was done, in words. */
export function summary(
  { doneCount, copiedCount }: Pick<ReplicateResultsResponse, 'doneCount' | 'copiedCount'>,
  failedCount: number,
): string {
  const failed = failedCount === 0 ? '' : `, ${failedCount} could not be copied`;
  return `${doneCount} results and deletions looked at, ${copiedCount} copied to the secondary${failed}`;
}
