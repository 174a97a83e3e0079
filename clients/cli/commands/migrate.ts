import { toJsonString } from '@bufbuild/protobuf';
import {
  MigrateResultResponseSchema,
  type MigrateResultResponse,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import type { Migrated, StoreRole } from '../../typescript/index.js';
import { connect } from '../connect.js';
import { progressBar } from '../progress.js';
import { print } from '../stdout.js';
import type { CommonFlags } from './catalogue.js';
import { counted } from '../words.js';

/** Flags of `optistore migrate`. */
export interface MigrateFlags extends CommonFlags {
  readonly from: StoreRole;
  readonly to: StoreRole;
  readonly keep?: boolean;
  readonly prefix?: string;
  readonly all?: boolean;
}

/**
 * `optistore migrate`: brings results from one store to another. What could not be brought is named, and makes the command end
 * with 1.
 */
export async function migrate(key: string | undefined, flags: MigrateFlags): Promise<void> {
  await using client = connect(flags);
  const { from, to, keep: keepSource = false, prefix, json = false } = flags;
  const what: Migrated = key !== undefined ? { key } : prefix !== undefined ? { prefix } : { all: true };
  const act = keepSource ? 'copied' : 'moved';
  let bar: ReturnType<typeof progressBar> | undefined;
  let failedCount = 0;
  let last: MigrateResultResponse | undefined;
  try {
    for await (const response of client.migrate(what, { from, to, keepSource })) {
      last = response;
      if (key !== undefined)
        (bar ??= progressBar(`${act} rows`, Number(response.rowCount))).update(Number(response.copiedRowCount));
      else
        (bar ??= progressBar(`${act} results`, Number(response.totalCount) || undefined)).update(
          Number(response.doneCount),
        );
      const isFailed = response.failure !== '';
      if (isFailed) failedCount++;
      if (json && (isFailed || response.done)) print(toJsonString(MigrateResultResponseSchema, response));
      else if (isFailed) print(`${response.key}: ${response.failure}`);
    }
  } finally {
    bar?.stop();
  }
  if (failedCount > 0) process.exitCode = 1;
  if (json) return;
  const way = `${from} → ${to}`;
  if (key !== undefined)
    return print(`${key}: ${act}, ${way}, ${counted(last?.rowCount ?? 0, 'row')}, revision ${last?.revision ?? 0}`);
  const failed = failedCount === 0 ? '' : `; ${failedCount} left in the ${from}`;
  print(`${counted(last?.doneCount ?? 0, 'result')} ${act}, ${way}${failed}`);
}
