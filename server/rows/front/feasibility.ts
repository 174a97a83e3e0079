import { ValueType, VariableRole, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';

const TOLERANCE_DEFAULT = 1e-6;

/** A constraint holds for values that are from `low` to `high` beyond `target`; so it does for none that is NaN. */
interface Constraint {
  readonly index: number;
  readonly target: number;
  readonly low: number;
  readonly high: number;
}

/** The values of a column as numbers. */
export interface Numbers {
  readonly values: ArrayLike<number>;
  /** A row each: 0 where the value is missing. Undefined: all are there. */
  readonly present?: ArrayLike<number> | undefined;
}

/** Which rows hold every constraint of a problem: see VariableRole. Strings constrain nothing. */
export class Feasibility {
  private readonly constraints: readonly Constraint[];

  constructor(variables: readonly Variable[]) {
    this.constraints = variables.flatMap((variable, index) => constraintOf(variable, index) ?? []);
  }

  /** Indices of the columns that it looks at. */
  get columns(): readonly number[] {
    return this.constraints.map(({ index }) => index);
  }

  /** A byte a row, 1 where it is feasible; a missing or NaN value holds no constraint. */
  of(rowCount: number, numbersOf: (index: number) => Numbers): Uint8Array<ArrayBuffer> {
    const feasible = new Uint8Array(rowCount).fill(1);
    for (const { index, target, low, high } of this.constraints) {
      const { values, present } = numbersOf(index);
      for (let row = 0; row < rowCount; row++) {
        const value = (values[row] as number) - target;
        if (!(value >= low && value <= high) || present?.[row] === 0) feasible[row] = 0;
      }
    }
    return feasible;
  }
}

function constraintOf(variable: Variable, index: number): Constraint | undefined {
  if (variable.valueType === ValueType.STRING) return undefined;
  const { lowerBound, upperBound, target = 0, tolerance = TOLERANCE_DEFAULT } = variable;
  switch (variable.role) {
    case VariableRole.INEQUALITY_CONSTRAINT: {
      const high = upperBound ?? (lowerBound === undefined ? 0 : Infinity);
      return { index, target: 0, low: lowerBound ?? -Infinity, high };
    }
    case VariableRole.EQUALITY_CONSTRAINT:
      return { index, target, low: -tolerance, high: tolerance };
    case VariableRole.UNSPECIFIED:
    case VariableRole.DESIGN_VARIABLE:
    case VariableRole.OBJECTIVE:
    case VariableRole.OBSERVABLE:
      return undefined;
    default:
      return variable.role satisfies never;
  }
}
