import { ResultSchema } from '../../../proto/gen/optistore/v1/result_pb.js';
import { Outcome } from '../../typescript/index.js';
import { connect } from '../connect.js';
import { print, printMessage } from '../stdout.js';
import type { CommonFlags } from './catalogue.js';

/** Flags of `optistore update`. */
export interface UpdateFlags extends CommonFlags {
  readonly tag?: Record<string, string>;
  readonly removeTag?: string[];
  readonly description?: string;
  readonly outcome?: Outcome;
  readonly expectedRevision?: bigint;
}

/** How a run ended, by its name in any case; undefined for any other. */
export function outcomeNamed(text: string): Outcome | undefined {
  const known = { FINISHED: Outcome.FINISHED, FAILED: Outcome.FAILED, STOPPED: Outcome.STOPPED };
  return known[text.toUpperCase() as keyof typeof known];
}

/** Changes a result's tags, description or outcome. */
export async function update(key: string, flags: UpdateFlags): Promise<void> {
  await using client = connect(flags);
  const removed = (flags.removeTag ?? []).map((name) => [name, null] as const);
  const { description, outcome, expectedRevision } = flags;
  const changes = {
    tags: { ...flags.tag, ...Object.fromEntries(removed) },
    ...(description !== undefined && { description }),
    ...(outcome !== undefined && { outcome }),
  };
  const result = await client.updateResult(key, changes, expectedRevision === undefined ? {} : { expectedRevision });
  if (flags.json) printMessage(ResultSchema, result);
  else print(`${key}: revision ${result.revision}`);
}
