import { readFile } from 'node:fs/promises';
import type { JsonValue } from '@bufbuild/protobuf';
import type { Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { ResultWriter } from '../typescript/index.js';
import { InputError } from './input-error.js';
import { problemFrom } from './problem-json.js';
import { KnownRows, type RowSource } from './row-source.js';
import { counted } from './words.js';

/** The problem of a file in protobuf JSON. InputError. */
export async function readProblem(path: string): Promise<Problem> {
  const text = await readFile(path, 'utf8');
  try {
    return problemFrom(JSON.parse(text) as JsonValue);
  } catch (error) {
    const why =
      error instanceof InputError ? error.message : `${error instanceof Error ? error.message : String(error)}.`;
    throw new InputError(`${path} is not a problem in protobuf JSON: ${why} All fields and words: docs/problem.md.`);
  }
}

/** The problem that is given, else that of the input itself. InputError where there is none. */
export async function problemOf(source: RowSource, given: Problem | undefined): Promise<Problem> {
  const problem = given ?? (await source.problem());
  if (problem === undefined) throw new InputError('No problem is given. Name its file with --problem problem.json.');
  return problem;
}

/**
 * Appends rows as they come; the first `knownCount` are those that an earlier try has saved. The writer sends small parts
 * together. InputError where the input has fewer than those.
 */
export async function appendRows(
  writer: ResultWriter,
  problem: Problem,
  source: RowSource,
  knownCount: number,
): Promise<void> {
  const known = new KnownRows(knownCount);
  for await (const part of source.parts(problem, known)) await writer.append(part);
  if (known.left > 0)
    throw new InputError(
      `The input has ${counted(known.left, 'row')} fewer than upload ${writer.uploadId} already has: it is not the same run.`,
    );
}
