import type { Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { Feasibility } from './feasibility.js';
import { objectivesOf, type Objective } from './objectives.js';

/** The parts of a problem that say which rows are good, as the daemon reads them too. */
export interface Goals {
  readonly objectives: readonly Objective[];
  readonly feasibility: Feasibility;
  /** Indices of all columns that they look at. */
  readonly columns: readonly number[];
}

/** Reads them of the variables. */
export function goalsOf(variables: readonly Variable[]): Goals {
  const objectives = objectivesOf(variables);
  const feasibility = new Feasibility(variables);
  return { objectives, feasibility, columns: [...objectives.map(({ index }) => index), ...feasibility.columns] };
}
