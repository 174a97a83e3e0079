import { toJsonString } from '@bufbuild/protobuf';
import {
  MigrateStoreResponseSchema,
  type MigrateStoreResponse,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { connect } from '../connect.js';
import type { CommonFlags } from './catalogue.js';
import { follow, summary } from './replicate.js';

/**
 * `optistore migrate-store`: copies everything from the primary to the secondary, and says what is to be done next. Ends with 1 where
 * the secondary has not everything.
 */
export async function migrateStore(flags: CommonFlags): Promise<void> {
  await using client = connect(flags);
  const asJson = (response: MigrateStoreResponse) => toJsonString(MigrateStoreResponseSchema, response);
  const { last } = await follow(client.migrateStore(), flags.json === true ? asJson : undefined);
  if (last?.complete !== true) process.exitCode = 1;
  if (last === undefined) return;
  process.stdout.write(flags.json === true ? `${asJson(last)}\n` : `${reportOf(last).join('\n')}\n`);
}

function reportOf(last: MigrateStoreResponse): string[] {
  const { complete, failedCount, pendingCount, openUploadIds } = last;
  const lines = [summary(last, Number(failedCount))];
  if (!complete) return [...lines, 'The secondary has not everything: see above. Put that right, then say this again.'];
  lines.push('The secondary has everything. From now on until the daemon stops, every change goes to both.');
  if (openUploadIds.length > 0)
    lines.push(
      `Saves in progress are in the primary alone: ${openUploadIds.join(', ')}.`,
      'Wait until they are committed, or give them up (`optistore uploads abort ID`).',
    );
  if (pendingCount > 0n) lines.push(`${pendingCount} changes that came meanwhile are on their way.`);
  if (openUploadIds.length > 0 || pendingCount > 0n) lines.push('Then say this again, before you go on:');
  return [
    ...lines,
    'To serve from the secondary, stop the daemon, swap the two in optistore.yaml, and start it again:',
    '  primary:   what stands at secondary now',
    '  secondary: what stands at primary now, or nothing',
  ];
}
