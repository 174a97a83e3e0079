import { toJsonString } from '@bufbuild/protobuf';
import { VerifyResultsResponseSchema, VerifyState } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { Backend } from '../../typescript/index.js';
import { connect } from '../connect.js';
import { progressBar } from '../progress.js';
import { print } from '../stdout.js';
import type { CommonFlags } from './catalogue.js';
import { counted } from '../words.js';

/** Flags of `optistore verify`. */
export interface VerifyFlags extends CommonFlags {
  readonly repair?: boolean;
  readonly backend?: 'primary' | 'secondary';
}

/**
 * Checks every byte of the results whose keys begin so, and repairs them if asked to. Tells what was wrong; where something
 * still is, the command ends with 1.
 */
export async function verify(prefix: string, flags: VerifyFlags): Promise<void> {
  const { json = false, repair = false, backend: from } = flags;
  await using client = connect(flags);
  let bar: ReturnType<typeof progressBar> | undefined;
  const counts = new Map<VerifyState, number>();
  const count = (state: VerifyState) => counts.get(state) ?? 0;
  let [checked, bytes] = [0, 0n];
  try {
    for await (const response of client.verifyResults({ prefix, repair, ...(from && { from }) })) {
      const { key, revision, state, message, totalCount } = response;
      checked++;
      bytes = response.checkedBytes;
      counts.set(state, count(state) + 1);
      if (json) print(toJsonString(VerifyResultsResponseSchema, response));
      else (bar ??= progressBar('checked copies', totalCount === 0n ? undefined : Number(totalCount))).update(checked);
      if (json || state === VerifyState.OK) continue;
      const role = Backend[response.backend].toLowerCase();
      print(`${key}: ${role}, revision ${revision}, ${VerifyState[state].toLowerCase()}: ${message}`);
    }
  } finally {
    bar?.stop();
  }
  const { CORRUPT, MISSING, REPAIRED } = VerifyState;
  if (!json)
    print(
      `${counted(checked, 'copy', 'copies')} checked, ${bytes} bytes of rows; ` +
        `${count(CORRUPT)} corrupt, ${count(MISSING)} missing, ${count(REPAIRED)} repaired`,
    );
  if (count(CORRUPT) + count(MISSING) > 0) process.exitCode = 1;
}
