import type { Problem } from '../../../proto/gen/optistore/v1/problem_pb.js';
import type { LoadHeader } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { problemJson } from '../json-table.js';
import { METADATA } from '../table-metadata.js';

/** What a file of Arrow or Parquet says of the result that it is of, by the names of its metadata. */
export function aboutResult({ result, variables }: LoadHeader): Map<string, string> {
  const problem = { ...(result?.problem as Problem), variables };
  const about = new Map<string, string>();
  if (problem.name !== '') about.set(METADATA.problem, problem.name);
  if (problem.solver !== '') about.set(METADATA.solver, problem.solver);
  about.set(METADATA.problemJson, problemJson(problem));
  if (result !== undefined) about.set(METADATA.key, result.key);
  // A save in progress has none yet.
  if (result !== undefined && result.revision > 0n) about.set(METADATA.revision, String(result.revision));
  return about;
}
