import { Direction, VariableRole, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';

const TOLERANCE_DEFAULT = 1e-6;

/** An objective as the analysis takes it: smaller is better once `sign` is applied. */
export interface Objective {
  readonly index: number;
  readonly sign: 1 | -1;
}

/** A constraint: it holds for values that are from `low` to `high` beyond `target`. */
export interface Constraint {
  readonly index: number;
  readonly target: number;
  readonly low: number;
  readonly high: number;
}

/** The parts of a problem that say which rows are good. Their `index` is the variable's. */
export interface Goals {
  readonly objectives: readonly Objective[];
  readonly constraints: readonly Constraint[];
}

/** Reads them of the variables; those of strings count for nothing. */
export function goalsOf(variables: readonly Variable[], isNumber: (index: number) => boolean): Goals {
  const objectives: Objective[] = [];
  const constraints: Constraint[] = [];
  variables.forEach((variable, index) => {
    if (!isNumber(index)) return;
    const { role, direction, lowerBound, upperBound, target = 0, tolerance = TOLERANCE_DEFAULT } = variable;
    if (role === VariableRole.OBJECTIVE) objectives.push({ index, sign: direction === Direction.MAXIMIZE ? -1 : 1 });
    else if (role === VariableRole.EQUALITY_CONSTRAINT)
      constraints.push({ index, target, low: -tolerance, high: tolerance });
    else if (role === VariableRole.INEQUALITY_CONSTRAINT) {
      const high = upperBound ?? (lowerBound === undefined ? 0 : Infinity);
      constraints.push({ index, target: 0, low: lowerBound ?? -Infinity, high });
    }
  });
  return { objectives, constraints };
}
