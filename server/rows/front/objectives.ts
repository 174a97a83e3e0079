import { Direction, ValueType, VariableRole, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import type { Numbers } from './feasibility.js';

/** An objective that has numbers. */
export interface Objective {
  /** Its column. */
  readonly index: number;
  readonly isMaximized: boolean;
}

/** The float64 and int64 objectives of a problem, in its order. */
export function objectivesOf(variables: readonly Variable[]): Objective[] {
  return variables.flatMap(({ role, valueType, direction }, index) =>
    role === VariableRole.OBJECTIVE && (valueType === ValueType.FLOAT64 || valueType === ValueType.INT64)
      ? [{ index, isMaximized: direction === Direction.MAXIMIZE }]
      : [],
  );
}

/** Writes the objectives of a row into `point` so that smaller is better; NaN where a value is missing. */
export function readPoint(
  objectives: readonly Objective[],
  numbers: readonly Numbers[],
  row: number,
  point: Float64Array,
): void {
  for (let i = 0; i < objectives.length; i++) {
    const { values, present } = numbers[i] as Numbers;
    const value = present?.[row] === 0 ? NaN : (values[row] as number);
    point[i] = objectives[i]?.isMaximized ? -value : value;
  }
}
