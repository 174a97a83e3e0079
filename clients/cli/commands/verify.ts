import { toJsonString } from '@bufbuild/protobuf';
import { VerifyResultsResponseSchema, VerifyState } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { connect } from '../connect.js';
import { progressBar } from '../progress.js';
import type { CommonFlags } from './catalogue.js';

/** Checks every byte of the results whose keys begin so. Tells what does not check; then the command ends with 1. */
export async function verify(prefix: string, flags: CommonFlags): Promise<void> {
  await using client = connect(flags);
  let bar: ReturnType<typeof progressBar> | undefined;
  let [checked, corrupt, bytes] = [0, 0, 0n];
  try {
    for await (const response of client.verifyResults({ prefix })) {
      checked++;
      bytes = response.checkedBytes;
      if (flags.json === true) process.stdout.write(`${toJsonString(VerifyResultsResponseSchema, response)}\n`);
      else (bar ??= progressBar('checked results', Number(response.totalCount))).update(checked);
      if (response.state === VerifyState.OK) continue;
      corrupt++;
      if (flags.json !== true)
        process.stdout.write(`${response.key}: revision ${response.revision}: ${response.message}\n`);
    }
  } finally {
    bar?.stop();
  }
  if (flags.json !== true)
    process.stdout.write(`${checked} results checked, ${bytes} bytes of rows; ${corrupt} corrupt\n`);
  if (corrupt > 0) process.exitCode = 1;
}
